"""Static Pods: files of a directory of the node are its Pods, with or without an API; the API shows their mirrors."""
