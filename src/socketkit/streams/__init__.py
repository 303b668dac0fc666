"""Streams of bytes and datagrams: one interface (`stream`), and its implementations."""
