"""`python -m socketkit` is the command."""

from socketkit.cli.main import main

main()
