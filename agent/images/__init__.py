"""The node's images as a whole: which there are, which Podling pulled, and which may go when the disk is full."""
