"""Datagrams without sessions: one bound socket, messages with the addresses that they came from or go to."""
