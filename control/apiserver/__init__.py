"""The API server: one pipeline for every kind."""
