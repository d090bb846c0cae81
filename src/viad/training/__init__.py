"""Training a model: building it from its yaml, loading batches, fitting, checkpoints."""
