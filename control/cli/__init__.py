"""The podling command: a file per command."""
