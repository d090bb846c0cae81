"""Experiments as tables: their conditions and names, and their results in DVC and in docs/."""
