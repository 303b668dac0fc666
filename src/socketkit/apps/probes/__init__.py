"""Probes: each looks once whether a service is ready, by a connection, an HTTP request, an exchange or a command."""
