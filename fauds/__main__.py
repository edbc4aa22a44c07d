"""Run the `fauds` command by `python -m fauds`."""

from fauds.cli.main import main

if __name__ == "__main__":
    main()
