"""APIs that the server serves beyond the built-in kinds, each while an APIService announces it."""
