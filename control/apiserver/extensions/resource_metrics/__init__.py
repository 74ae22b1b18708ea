"""metrics.k8s.io: what nodes and Pods use, in metrics-server's place."""
