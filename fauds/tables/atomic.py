"""Writing files atomically: a file is either replaced completely or left unchanged."""

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds.errors import DataError

_NAME_LENGTH = 50


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file to write, which then replaces the file at `path`.

    The temporary file is in the folder of `path`. If the code in the context fails, or the program
    stops, the old file is unchanged.

    Args:
        path: the path of the file to write; its folder is created if it does not exist.

    Raises:
        DataError: the file cannot be written, for example because the disk is full or read-only,
            or a permission is missing.
    """
    temporary: Path | None = None
    try:
        temporary = _temporary_file(path)
        yield temporary
        # Only the owner can read files made by mkstemp, but groups share workspaces.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Code in the context may read other files, whose errors must not be reported for this one.
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise DataError in place of an OSError of the code in the context, which writes a file.

    Args:
        path: the path of the file.

    Raises:
        DataError: the file cannot be written, for example because the disk is full or read-only,
            or a permission is missing.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> DataError:
    """Return the error to raise if a file cannot be written.

    Args:
        path: the path of the file.
        error: the error that writing the file raised.
    """
    return DataError(
        f"{path.name} could not be written: {error.strerror or error}.",
        where=path,
        hint=f"{_hint(error.errno)}; an existing file was not changed",
    )


def _hint(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free space on the disk, or choose another place"
    if number == errno.EROFS:
        return "choose another place, because this file system is read-only"
    if number in (errno.EACCES, errno.EPERM):
        return "choose another place, or get permission to write there (ls -ld)"
    if number in (errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY):
        return "choose another place, or move away the file or folder that blocks this path"
    return "check the disk, or choose another place"


def _temporary_file(path: Path) -> Path:
    """Create an empty temporary file in the folder of `path`, and return its path.

    The folder is created if it does not exist.
    """
    # An error about any folder of the path is reported for the file itself.
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name has at most 255 bytes; a character has up to four of them.
        prefix = f".{path.name[:_NAME_LENGTH]}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
        os.close(handle)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_keeping_partial(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file to write, which then replaces the file at `path`.

    In contrast to `atomic`, an unfinished file is kept: if the code in the context fails or the
    user presses Ctrl-C, the old file is unchanged, and the unfinished file is kept under another
    name, ``faces.part.csv`` for ``faces.csv``. A message on stderr states its path.

    Args:
        path: the path of the file to write; its folder is created if it does not exist.

    Raises:
        DataError: the file cannot be written, for example because the disk is full or read-only,
            or a permission is missing.
    """
    with atomic(path) as temporary:
        try:
            yield temporary
        except BaseException:
            _keep(temporary, partial_path(path))
            raise


def partial_path(path: Path) -> Path:
    """Return the path under which an unfinished file is kept: x.part.csv for x.csv."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _keep(temporary: Path, partial: Path) -> None:
    if not temporary.stat().st_size:
        return
    # Only the owner can read temporary files; a new file has the user's default permissions.
    partial.touch()
    shutil.copymode(partial, temporary)
    temporary.replace(partial)
    print(f"Stopped early: the part written so far is kept in {partial}.", file=sys.stderr)
