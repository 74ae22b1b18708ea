"""Volumes: a file per type."""
