"""The files between stages (samples, scores, anomaly maps, images), written whole or not at all, and their versions."""
