"""What the schema of a kind cannot say: defaults, rules, immutability."""
