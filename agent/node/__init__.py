"""The Node object: registration, heartbeat, status."""
