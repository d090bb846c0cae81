"""The generated parts of README and docs: tables, findings, our values against published ones."""
