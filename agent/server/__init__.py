"""The node API: logs, exec, stats."""
