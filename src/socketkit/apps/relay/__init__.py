"""The relay: accept clients, choose an upstream, carry bytes both ways."""
