"""`python -m hapair` is the `hapair` command."""

from hapair.cli.main import main

main()
