"""Metrics: pure functions of raw scores, `None` where a metric is not defined.

Higher scores are more anomalous. Scores are compared as stored: nothing is normalised,
clamped or squashed, so any strictly increasing map of them changes no metric here.
"""
