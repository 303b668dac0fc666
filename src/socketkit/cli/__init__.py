"""The command: verbs, their arguments, and the only room that prints (`output`)."""
