"""Importing a user's folder or CSV of images as a dataset."""
