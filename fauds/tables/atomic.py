"""Files that are written whole or not at all."""

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds.errors import DataError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit it is synced and takes its place.

    A crash, an error or Ctrl-C leaves the old file as it was.

    Raises:
        DataError: the file system refuses (full, read-only, no permission).
    """
    temporary: Path | None = None
    try:
        temporary = _beside(path)
        yield temporary
        # mkstemp's files are their owner's alone; workspaces are shared in groups.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The body may read other files; their errors are not about this one.
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn every refusal of the file system into the error for `path`.

    Raises:
        DataError: the file system refuses (full, read-only, no permission).
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> DataError:
    """Return the error of a file that the file system refuses to write."""
    return DataError(
        f"{path.name} could not be written: {error.strerror or error}.",
        where=path,
        hint=f"{_to_do(error.errno)}; nothing that was there before is lost",
    )


def _to_do(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free space, or choose another place"
    if number == errno.EROFS:
        return "choose another place: this file system is read-only"
    if number in (errno.EACCES, errno.EPERM):
        return "choose another place, or be given the right to write there (ls -ld)"
    if number in (errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY):
        return "choose another place, or move away what has this name or a folder's above it"
    return "see to the disk, or choose another place"


def _beside(path: Path) -> Path:
    """Make an empty file beside `path`, and the folders that it needs."""
    # Here every error is about `path`, also where the refused folder is one further up.
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def growing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit it takes its place.

    On an error or Ctrl-C the old file stays as it was, and what was written so far is kept as
    ``faces.part.csv`` beside ``faces.csv``, which is said on stderr.

    Raises:
        DataError: the file system refuses (full, read-only, no permission).
    """
    with atomic(path) as temporary:
        try:
            yield temporary
        except BaseException:
            _keep(temporary, part_of(path))
            raise


def part_of(path: Path) -> Path:
    """Return where the beginning of an unfinished file is kept: ``faces.part.csv``."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _keep(temporary: Path, part: Path) -> None:
    if not temporary.stat().st_size:
        return
    # Temporary files are their owner's alone; a new file has the rights that the user chose.
    part.touch()
    shutil.copymode(part, temporary)
    temporary.replace(part)
    print(f"Stopped early: what was written until then is kept in {part}.", file=sys.stderr)
