"""The command: verbs and their arguments. Only this package prints (`output`)."""
