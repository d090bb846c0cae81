"""The experimental conditions themselves: splits, contamination and the anomaly reserve, distribution shifts."""
