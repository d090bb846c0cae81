"""Lists of experiments that answer one question, and the workers that run them."""
