"""SPDY/3.1 as Kubernetes speaks it: what kubectl before 1.31 uses for every stream, and port-forward in any version."""
