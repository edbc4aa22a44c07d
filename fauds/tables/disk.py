"""Free disk space, and the error to raise before more is written than there is space for."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from fauds.errors import DataError


def free_space(folder: Path) -> int:
    """Return the number of free bytes on the disk that a folder is or would be on.

    Args:
        folder: the folder; it need not exist yet.
    """
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def size_text(size: int) -> str:
    """Return a number of bytes as text, such as "2.9 GB"."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def require_space(folder: Path, needs: Mapping[str, int]) -> None:
    """Check that a disk has space for all that is about to be written.

    Args:
        folder: a folder on the disk; it need not exist yet.
        needs: maps the name of what is written, in words, to its estimated number of bytes.

    Raises:
        DataError: the disk has less free space; the message lists the needs.
    """
    free = free_space(folder)
    if sum(needs.values()) > free:
        listed = ", ".join(f"{size_text(size)} for {name}" for name, size in needs.items() if size)
        raise DataError(
            f"The disk has {size_text(free)} free, but about {listed} are needed.",
            where=folder,
            hint="free some space, or choose another disk with --workdir",
        )
