"""The controllers, a file each; the catalogue of what runs is at the end of this module."""
