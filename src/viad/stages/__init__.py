"""One module a stage of dvc.yaml; each `main` reads as the data flows."""
