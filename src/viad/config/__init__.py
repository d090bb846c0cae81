"""conf/ and params.yaml: composing, reading and checking parameters."""
