"""Chat: a host, its room and participants, and the guest who joins."""
