"""What torchrun tells each process that it starts: its number, and how many there are."""

import os

from fauds.errors import UsageError


def rank() -> int:
    """Return this process's number, from 0; 0 where there is one process.

    Raises:
        UsageError: the environment holds no such number.
    """
    return _number("RANK", 0)


def world_size() -> int:
    """Return how many processes were started together; 1 where no launcher did.

    Raises:
        UsageError: the environment holds no such number.
    """
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """Return this process's number on its machine, from 0.

    Raises:
        UsageError: the environment holds no such number.
    """
    return _number("LOCAL_RANK", 0)


def launched() -> bool:
    """Whether the environment is whole: all that torchrun sets is there."""
    return {"LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(
            f"{name} is {text!r}, not a whole number from 0.",
            where="environment",
            hint="start with torchrun, which sets it, or unset it",
        )
    return int(text)
