"""The watch cache: current state and an event window per kind."""
