"""Node-pressure eviction."""
