"""socketkit: connect to any socket, and serve one."""

__version__ = "0.1.0.dev0"
