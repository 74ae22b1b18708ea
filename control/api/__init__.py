"""The contract that every part shares: kinds, objects, errors, and the pure arithmetic of the API. Stdlib only."""
