"""Where a kind meets its schema, strategy and storage."""
