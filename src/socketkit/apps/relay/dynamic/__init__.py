"""A relay whose clients say where to: a server of SOCKS5, SOCKS4a or HTTP CONNECT, as `ssh -D` is one."""
