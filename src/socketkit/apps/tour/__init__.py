"""The tour: the life of a socket, run and explained on this machine."""
