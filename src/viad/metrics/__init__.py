"""Metrics: pure functions of raw scores; `None` where a metric is undefined.

Higher scores are more anomalous. The functions compare scores as stored, without normalising or clamping them, so a
strictly increasing map of the scores changes no rank metric. (PG and PB interpolate between scores, as anomalib's do,
so such a map can change them slightly.)
"""
