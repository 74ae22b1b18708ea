"""The node agent: what a kubelet does, on plain Docker Engine."""
