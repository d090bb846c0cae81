"""Parts that several detectors share."""
