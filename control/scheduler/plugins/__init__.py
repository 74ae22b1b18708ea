"""Filter and score plugins; each words its own reason."""
