"""The static page of `viad report`: all results, for readers who do not run the pipeline."""
