"""What this process was started with: the variables that torchrun sets, and processor cores."""

import os

from fauds.errors import UsageError


def rank() -> int:
    """Return the rank of this process: its number, from 0, among all processes of torchrun.

    Without torchrun, the result is 0.

    Raises:
        UsageError: the environment variable RANK is not a number.
    """
    return _number("RANK", 0)


def world_size() -> int:
    """Return the number of processes that torchrun started together; 1 without torchrun.

    Raises:
        UsageError: the environment variable WORLD_SIZE is not a number.
    """
    return _number("WORLD_SIZE", 1)


def local_world_size() -> int:
    """Return the number of processes that torchrun started on this machine; 1 without torchrun.

    Raises:
        UsageError: the environment variable LOCAL_WORLD_SIZE is not a number.
    """
    return _number("LOCAL_WORLD_SIZE", 1)


def local_rank() -> int:
    """Return the number, from 0, of this process among torchrun's processes on this machine.

    Without torchrun, the result is 0.

    Raises:
        UsageError: the environment variable LOCAL_RANK is not a number.
    """
    return _number("LOCAL_RANK", 0)


def is_launched() -> bool:
    """Return whether torchrun started this process, according to the environment variables."""
    return {"LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


def cores() -> int:
    """Return the number of processor cores that this process may use, at least 1.

    A batch system such as Slurm, or taskset, may have given it fewer cores than the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(
            f"{name} is {text!r}, but must be a whole number, 0 or more.",
            where="environment variables",
            hint=f"start the command with torchrun, which sets {name}, or unset {name}",
        )
    return int(text)
