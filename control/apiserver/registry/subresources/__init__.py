"""Subresources: what is served under an object, one handler per name."""
