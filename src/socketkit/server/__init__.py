"""Serve: listen, accept, admit, hand each connection to its handler, stop."""
