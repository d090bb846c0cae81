"""Figures: curves as tables for DVC's plots, heat maps and diagrams as pictures."""
