"""Observers of the command: dumps, packet captures, transfer statistics, and the files that they write."""
