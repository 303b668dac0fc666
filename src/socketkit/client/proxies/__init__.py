"""Connect through proxies: SOCKS5, SOCKS4, SOCKS4a and HTTP CONNECT, one after another."""
