"""Verb handlers, one verb a file."""
