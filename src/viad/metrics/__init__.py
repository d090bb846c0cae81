"""Metrics: pure functions of raw scores, `None` where a metric is not defined.

Higher scores are more anomalous. Scores are compared as stored: nothing is normalised,
clamped or squashed, so a strictly increasing map of them changes no rank metric (PG and PB
interpolate between scores, as anomalib's do, so they can move between two of them).
"""
