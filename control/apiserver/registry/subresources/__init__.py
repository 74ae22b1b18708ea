"""Subresources that are more than a part of an object."""
