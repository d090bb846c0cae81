"""Figures: curves as tables for DVC's plots, and heat maps as pictures."""
