"""Scoring images, and what it costs."""
