"""docs/findings.md: the paper's claims, and the evidence of our experiments for each."""
