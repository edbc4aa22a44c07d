"""Files that grow while pictures are read: whole at the end, and not lost when a run is stopped."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds.files import atomic


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
