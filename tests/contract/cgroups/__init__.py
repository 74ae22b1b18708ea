"""The kernel's cgroup file system, and the one in memory that tests use instead."""
