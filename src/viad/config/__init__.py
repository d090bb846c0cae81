"""params.yaml: how conf/ is composed into it, and how stages read it."""
