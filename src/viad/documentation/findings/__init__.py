"""docs/findings.md: what the paper claims, and what the experiments here show of it."""
