"""The place where anomaly detectors for industrial images are put to the test."""
