"""The container runtime seam and its two implementations."""
