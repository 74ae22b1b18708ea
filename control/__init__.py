"""The control plane: API server, controllers, scheduler, and the command line."""
