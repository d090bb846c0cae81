"""One module for each stage of dvc.yaml; each `main` follows the flow of the data."""
