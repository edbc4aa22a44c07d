"""DISFA's label files: which there are, and which subject and AU each belongs to."""

import re
from dataclasses import dataclass
from pathlib import Path

from fauds.datasets import locate
from fauds.datasets.base import ReadOptions, natural, read_marker
from fauds.datasets.images import FolderKey
from fauds.datasets.subjects import chosen_subjects, shortened
from fauds.errors import DataError
from fauds.facs import AUS

DISFA_LAYOUT = "ActionUnit_Labels/SN001/SN001_au1.txt"

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"(SN\d{3})_au0*(\d+)\.txt", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class DisfaLabelFiles:
    """The files of a release: by subject, then by AU; of the subjects that are to be read.

    Attributes:
        everyone: the subjects that there are labels of, whether they are to be read or not.
    """

    labels: Path
    image_root: Path
    files: dict[str, dict[str, Path]]
    everyone: list[str]
    ignored: list[Path]

    def paths(self) -> list[Path]:
        """Return all files, by subject and AU."""
        return [path for by_au in self.files.values() for path in by_au.values()]

    def aus(self) -> set[str]:
        """Return the AUs that any subject has a file of."""
        return {au for by_au in self.files.values() for au in by_au}

    def keys(self) -> list[FolderKey]:
        """Return what the folders of images are called, by subject."""
        return [(subject,) for subject in self.files]


def find_label_files(root: Path, options: ReadOptions) -> DisfaLabelFiles:
    """Find the label files of a release, or of the part of it that is there or asked for.

    Raises:
        DataError: there are none, a subject's folder holds none, another subject's lie in it, or
            two files are of one AU.
    """
    labels = locate.label_folder(root, "ActionUnit_Labels", DISFA_LAYOUT)
    read_marker(root, labels.parent)
    found: dict[str, dict[str, Path]] = {}
    ignored: list[Path] = []
    for folder in locate.subfolders(labels):
        if _SUBJECT.fullmatch(folder.name) is None:
            ignored.append(folder)
        else:
            found[folder.name.upper()] = _subject_files(folder, ignored)
    if not found:
        there = shortened([path.name for path in locate.entries(labels)])
        raise DataError(
            f"There are no labels here: looked for {DISFA_LAYOUT}; there is {there}.",
            where=labels,
            hint="extract the release's ActionUnit_Labels archive here, or point --root elsewhere",
        )
    chosen = chosen_subjects(list(found), options, labels)
    everyone = sorted(found, key=natural)
    files = {subject: found[subject] for subject in chosen}
    return DisfaLabelFiles(labels, locate.image_root(root, labels), files, everyone, ignored)


def _subject_files(folder: Path, ignored: list[Path]) -> dict[str, Path]:
    """Return a subject's label files by AU, in FACS order."""
    found: dict[str, Path] = {}
    for path in locate.files(folder, ".txt"):
        match = _NAME.fullmatch(path.name)
        au = f"AU{int(match[2]):02d}" if match else ""
        if match is None or au not in AUS:
            ignored.append(path)
            continue
        if match[1].upper() != folder.name.upper():
            raise DataError(
                f"{path.name} lies in the folder {folder.name}: it is another subject's.",
                where=path,
                hint="compare with the original release; move it where it belongs",
            )
        if au in found:
            raise DataError(
                f"{found[au].name} and {path.name} are both labels of {au}.",
                where=path,
                hint="keep the one that belongs to the release",
            )
        found[au] = path
    if not found:
        raise DataError(
            "The folder of this subject holds no labels.",
            where=folder,
            hint=f"copy {DISFA_LAYOUT} and the others from the release, or remove the folder",
        )
    return dict(sorted(found.items()))
