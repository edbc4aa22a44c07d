"""Reading label files into memory, a few sequences at a time, and computing their digest.

A sequence is one subject's video of one task.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fauds.errors import DataError
from fauds.tables import store

GROUP_BYTES = 16 * 2**20
"""Approximately how many bytes of label files are held in memory at a time."""

BOM = b"\xef\xbb\xbf"
_AGAIN = "compare the file with the original release, or extract it again"

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file in memory.

    Attributes:
        path: the path of the file.
        name: the path of the file relative to the folder above the dataset's label folder, with
            slashes.
        data: the content of the file, in bytes.
    """

    path: Path
    name: str
    data: bytes


def label_error(what: str, path: Path, line: int | None = None, hint: str = _AGAIN) -> DataError:
    """Return an error about a label file, or about one of its lines.

    Args:
        what: what is wrong, in one sentence.
        path: the path of the label file.
        line: the number of the line, from 1; None if the error is about the whole file.
        hint: what the user can do about it.
    """
    return DataError(what, where=path if line is None else f"{path}:{line}", hint=hint)


def load(path: Path, root: Path) -> LabelFile:
    """Read a label file into memory.

    Args:
        path: the path of the file.
        root: the folder that `LabelFile.name` is relative to.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    data = _read(path)
    if _is_blank(data):
        raise label_error("The label file is empty.", path, 1)
    return LabelFile(path, _name(path, root), data)


def load_first_line(path: Path, root: Path) -> LabelFile:
    """Read only the first line of a label file, or the whole file if its first line is blank.

    The result is a `LabelFile` with these bytes. See `load` for the arguments and errors.
    """
    data = _read(path, whole=False)
    return load(path, root) if _is_blank(data) else LabelFile(path, _name(path, root), data)


def _read(path: Path, whole: bool = True) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read() if whole else file.readline()
    except OSError as error:
        raise label_error(
            f"The label file cannot be read: {error.strerror or error}.",
            path,
            hint="check that you have permission to read it (ls -l)",
        ) from error


def _is_blank(data: bytes) -> bool:
    text = data.removeprefix(BOM)
    return not text or text.isspace()


def _name(path: Path, root: Path) -> str:
    # Path.relative_to would take as long as reading the file.
    return path.as_posix().removeprefix(root.as_posix()).lstrip("/")


class LabelFileReader:
    """Reads label files into memory and records the SHA-256 digest of each.

    Args:
        root: the folder above the dataset's label folder; the names of label files, in digests,
            are their paths relative to it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._digests: dict[str, bytes] = {}

    def load(self, path: Path) -> LabelFile:
        """Read a label file and record its digest; see the function `load` for the errors."""
        file = load(path, self._root)
        self._digests[file.name] = hashlib.sha256(file.data).digest()
        return file

    def fingerprint(self, paths: Iterable[Path]) -> str:
        """Return one hex digest of the names and contents of label files.

        Files that this reader has not read yet are read now.
        """
        names = []
        for path in paths:
            name = _name(path, self._root)
            if name not in self._digests:
                self.load(path)
            names.append(name)
        return store.fingerprint([(name, self._digests[name].hex()) for name in names])

    def groups(
        self, sequences: Iterable[tuple[K, Mapping[str, Path]]]
    ) -> Iterator[list[tuple[K, dict[str, LabelFile]]]]:
        """Read the label files of sequences, a few sequences at a time.

        Args:
            sequences: the key of each sequence, for example (F001, T1), and the paths of its label
                files by what they label, such as AU06.

        Yields:
            A list of a few sequences, with the key of each sequence and its label files in memory.
            Sequences are added to a list until their files have `GROUP_BYTES` or more. Each list
            is emptied when the next list is requested.
        """
        group: list[tuple[K, dict[str, LabelFile]]] = []
        size = 0
        for key, paths in sequences:
            files = {name: self.load(path) for name, path in paths.items()}
            group.append((key, files))
            size += sum(len(file.data) for file in files.values())
            if size >= GROUP_BYTES:
                yield group
                group.clear()
                group, size = [], 0
        if group:
            yield group
