"""The Pod network."""
