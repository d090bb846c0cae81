"""The generated parts of README and docs: tables, findings, ours against published."""
