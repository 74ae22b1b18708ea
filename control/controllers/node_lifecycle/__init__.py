"""Node lifecycle: notice silent nodes, taint them, evict what does not tolerate that."""
