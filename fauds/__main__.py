"""`python -m fauds` is the `fauds` command."""

from fauds.cli.main import main

if __name__ == "__main__":
    main()
