"""Pod workers: observe, decide, apply."""
