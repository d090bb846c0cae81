"""Scoring images, and measuring its cost."""
