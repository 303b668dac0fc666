"""What can be said about a socket, as frozen values: addresses, options, retries, TLS settings. No I/O."""
