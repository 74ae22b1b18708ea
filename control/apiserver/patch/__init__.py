"""Patch engines and field management."""
