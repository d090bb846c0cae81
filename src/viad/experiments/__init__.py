"""Experiments as tables: their conditions, their names, what DVC has of them and what is committed."""
