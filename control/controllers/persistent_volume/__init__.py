"""Persistent volumes: binding claims and volumes, making and growing local volumes, claims of ephemeral volumes."""
