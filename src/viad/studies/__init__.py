"""Studies: lists of experiments that answer a question, and the workers that run them."""
