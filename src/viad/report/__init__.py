"""The static page of `viad report`: what was measured, for readers who run nothing."""
