"""From a model's yaml to a trained model: building, loading batches, fitting, checkpoints."""
