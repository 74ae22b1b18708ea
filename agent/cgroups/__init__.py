"""The cgroup of a Pod: the room that its containers share."""
