"""Scoring images, and measuring the cost of scoring."""
