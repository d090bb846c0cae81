"""docs/findings.md: the paper's claims, and what our experiments show about each."""
