"""Label files: reading them whole, a group of sequences at a time, and their digest."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fauds.errors import DataError
from fauds.tables import store

GROUP_BYTES = 16 * 2**20
"""Label files are read until they have this many bytes, then parsed and forgotten."""

BOM = b"\xef\xbb\xbf"
_AGAIN = "compare it with the original release; copy or extract it again"

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file in memory: where it is, its name relative to the root, its bytes."""

    path: Path
    name: str
    data: bytes


def bad(what: str, path: Path, line: int | None = None, hint: str = _AGAIN) -> DataError:
    """Return the error of a label file, with its line where there is one."""
    return DataError(what, where=path if line is None else f"{path}:{line}", hint=hint)


def load(path: Path, root: Path) -> LabelFile:
    """Read a label file whole.

    Args:
        path: the file.
        root: the folder that its name is relative to.

    Raises:
        DataError: it cannot be read, or holds nothing.
    """
    data = _read(path)
    if _is_blank(data):
        raise bad("The label file is empty.", path, 1)
    return LabelFile(path, _name(path, root), data)


def load_first_line(path: Path, root: Path) -> LabelFile:
    """Read a label file's first line; or all of it where that is blank, errors as in `load`."""
    data = _read(path, whole=False)
    return load(path, root) if _is_blank(data) else LabelFile(path, _name(path, root), data)


def _read(path: Path, whole: bool = True) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read() if whole else file.readline()
    except OSError as error:
        raise bad(
            f"The label file cannot be read: {error.strerror or error}.",
            path,
            hint="check that you may read it (ls -l)",
        ) from error


def _is_blank(data: bytes) -> bool:
    text = data.removeprefix(BOM)
    return not text or text.isspace()


def _name(path: Path, root: Path) -> str:
    # Path.relative_to takes as long as reading the file.
    return path.as_posix().removeprefix(root.as_posix()).lstrip("/")


class Digests:
    """Reads label files and keeps the SHA-256 of each.

    Args:
        root: the folder that names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, bytes] = {}

    def load(self, path: Path) -> LabelFile:
        """Read a file; errors as in `load`."""
        file = load(path, self._root)
        self._found[file.name] = hashlib.sha256(file.data).digest()
        return file

    def fingerprint(self, paths: Iterable[Path]) -> str:
        """Return a hex digest of files by relative name and content, each read before or now."""
        names = []
        for path in paths:
            name = _name(path, self._root)
            if name not in self._found:
                self.load(path)
            names.append(name)
        return store.fingerprint([(name, self._found[name].hex()) for name in names])

    def groups(
        self, sequences: Iterable[tuple[K, Mapping[str, Path]]]
    ) -> Iterator[list[tuple[K, dict[str, LabelFile]]]]:
        """Read the files of sequences, a few sequences at a time.

        Args:
            sequences: of each sequence its key and its files by what they hold.

        Yields:
            Sequences with their files in memory, of `GROUP_BYTES` together. A group is emptied
            when the next one is asked for.
        """
        group: list[tuple[K, dict[str, LabelFile]]] = []
        size = 0
        for key, paths in sequences:
            files = {what: self.load(path) for what, path in paths.items()}
            group.append((key, files))
            size += sum(len(file.data) for file in files.values())
            if size >= GROUP_BYTES:
                yield group
                group.clear()
                group, size = [], 0
        if group:
            yield group
