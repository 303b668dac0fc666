"""What the command offers, without the command: services over the library. Nothing here prints."""
