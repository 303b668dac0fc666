"""Several hosts of one chat, over a bus: an ordered log that all hosts append to and read."""
