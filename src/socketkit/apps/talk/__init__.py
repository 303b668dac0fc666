"""Conversations with standard input and output: `connect`, `listen`, and what they share."""
