"""The bench: `make bench`. Servers side by side, one file each in `peers/`, under load from C."""
