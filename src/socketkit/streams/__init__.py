"""Streams: bytes that move. One promise (`stream`), kept by each way of moving them."""
