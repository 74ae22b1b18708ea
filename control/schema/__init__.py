"""Structural schemas: validation, pruning, defaults, OpenAPI; the same for built-in and custom kinds."""
