"""HTTP filters in the order of app.py."""
