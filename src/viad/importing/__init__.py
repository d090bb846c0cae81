"""A folder or a CSV of anybody's images becomes a dataset."""
