"""Node-pressure eviction: what a node that runs out of memory, disk or process ids does about it."""
