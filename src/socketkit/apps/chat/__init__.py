"""Chat: a host, its rooms and participants, and the guest who joins."""
