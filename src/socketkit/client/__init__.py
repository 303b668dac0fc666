"""Dial: resolve, connect, reconnect."""
