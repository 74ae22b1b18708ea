"""Storage: a narrow protocol over bytes with integer revisions, and its backends."""
