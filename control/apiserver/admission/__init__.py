"""The admission chain."""
