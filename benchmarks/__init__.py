"""Measurements: Podling beside the Docker Engine driven directly, on the same machine in the same run."""
