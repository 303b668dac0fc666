"""Observers for people: dumps, packet captures, transfer figures."""
