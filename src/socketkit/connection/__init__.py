"""A connection: messages over a stream, from the first byte to the close."""
