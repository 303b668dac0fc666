"""WebSocket (RFC 6455, 7692) over any stream of bytes."""
