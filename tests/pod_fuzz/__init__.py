"""Random lives of random Pods on one node, against a small model of what Kubernetes promises."""
