"""BP4D's label files: which there are, and which sequence and AU each belongs to."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fauds.datasets import locate
from fauds.datasets.base import ReadOptions, read_marker, sequence_key
from fauds.datasets.subjects import chosen_subjects, shortened
from fauds.errors import DataError
from fauds.facs import AUS

BP4D_LAYOUT = "AUCoding/AU_OCC/F001_T1.csv (or AUCoding/F001_T1.csv)"
INTENSITY_FOLDERS = ("AU_INT", "AU Intensity Codes3.0", "AU-Intensity-Codes3.0")

_OCCURRENCE_NAME = re.compile(r"([FM]\d{3})_(T\d+)\.csv", re.IGNORECASE | re.ASCII)
_INTENSITY_NAME = re.compile(r"([FM]\d{3})_(T\d+)(?:_AU0*(\d+))?\.csv", re.IGNORECASE | re.ASCII)
_INTENSITY_FOLDER = re.compile(r"AU0*(\d+)", re.IGNORECASE | re.ASCII)

SequenceName = tuple[str, str]

OCCURRENCE_COLUMNS = "occurrence"


@dataclass(frozen=True)
class Bp4dLabelFiles:
    """The files of a release: occurrence by sequence, intensity by AU and sequence."""

    labels: Path
    image_root: Path
    occurrence: dict[SequenceName, Path]
    intensity: dict[str, dict[SequenceName, Path]]
    ignored: list[Path]

    def paths(self) -> list[Path]:
        """Return all files: occurrence, then intensity by AU, each by sequence."""
        by_au = (path for files in self.intensity.values() for path in files.values())
        return [*self.occurrence.values(), *by_au]

    def intensity_aus(self) -> list[str]:
        """Return the AUs that any sequence has intensities of."""
        return [au for au, files in self.intensity.items() if files]

    def sequences(self) -> Iterator[tuple[SequenceName, dict[str, Path]]]:
        """Yield every sequence with its files, by `OCCURRENCE_COLUMNS` and intensity AUs."""
        for key, path in self.occurrence.items():
            coded = {au: files[key] for au, files in self.intensity.items() if key in files}
            yield key, {OCCURRENCE_COLUMNS: path, **coded}


def find_label_files(root: Path, options: ReadOptions) -> Bp4dLabelFiles:
    """Find the label files of a release, or of the part of it that is there or asked for.

    Raises:
        DataError: there are none, two files of one sequence, or a file in another AU's folder.
    """
    labels = locate.label_folder(root, "AUCoding", BP4D_LAYOUT)
    read_marker(root, labels.parent)
    folder = next((f for f in locate.subfolders(labels) if f.name.upper() == "AU_OCC"), labels)
    occurrence, ignored = _sequences(locate.files(folder, ".csv"))
    if not occurrence:
        there = [path.name for path in locate.entries(folder)]
        raise DataError(
            f"There are no labels here: looked for {BP4D_LAYOUT}; there is {shortened(there)}.",
            where=folder,
            hint="extract the release's AUCoding archive here, or point --root elsewhere",
        )
    chosen = set(chosen_subjects([subject for subject, _ in occurrence], options, folder))
    occurrence = {key: occurrence[key] for key in _in_order(occurrence) if key[0] in chosen}
    intensity, unknown = _intensities(labels, occurrence)
    image_root = locate.image_root(root, labels)
    return Bp4dLabelFiles(labels, image_root, occurrence, intensity, ignored + unknown)


def _in_order(keys: Iterable[SequenceName]) -> list[SequenceName]:
    return sorted(keys, key=lambda key: sequence_key(*key))


def _sequences(paths: Sequence[Path]) -> tuple[dict[SequenceName, Path], list[Path]]:
    """Sort files into those of a sequence and others."""
    found: dict[SequenceName, Path] = {}
    others = []
    for path in paths:
        match = _OCCURRENCE_NAME.fullmatch(path.name)
        if match is None:
            others.append(path)
            continue
        _add(found, (match[1].upper(), match[2].upper()), path)
    return found, others


def _add(found: dict[SequenceName, Path], key: SequenceName, path: Path) -> None:
    if key in found:
        raise DataError(
            f"{found[key].name} and {path.name} are both labels of {'/'.join(key)}.",
            where=path,
            hint="keep the one that belongs to the release",
        )
    found[key] = path


def _intensities(
    labels: Path, sequences: Mapping[SequenceName, Path]
) -> tuple[dict[str, dict[SequenceName, Path]], list[Path]]:
    """Find the intensity files of the sequences: by AU, then by sequence."""
    names = {name.lower() for name in INTENSITY_FOLDERS}
    places = [*locate.subfolders(labels), *locate.subfolders(labels.parent)]
    folders = [place for place in places if place.name.lower() in names]
    if len(folders) > 1:
        raise DataError(
            f"There are two folders of intensities: {folders[0]} and {folders[1]}.",
            where=folders[1],
            hint="keep the one that belongs to the release",
        )
    found: dict[str, dict[SequenceName, Path]] = {}
    others: list[Path] = []
    for folder in locate.subfolders(folders[0]) if folders else ():
        match = _INTENSITY_FOLDER.fullmatch(folder.name)
        if match is None or (au := f"AU{int(match[1]):02d}") not in AUS:
            others.append(folder)
            continue
        by_key: dict[SequenceName, Path] = {}
        for path in locate.files(folder, ".csv"):
            _add_intensity(by_key, path, int(match[1]), others)
        found[au] = {key: by_key[key] for key in sequences if key in by_key}
    return found, others


def _add_intensity(
    by_key: dict[SequenceName, Path], path: Path, number: int, others: list[Path]
) -> None:
    match = _INTENSITY_NAME.fullmatch(path.name)
    if match is None:
        others.append(path)
        return
    if match[3] is not None and int(match[3]) != number:
        raise DataError(
            f"{path.name} lies in the folder {path.parent.name}: it is another AU's.",
            where=path,
            hint="compare with the original release; move it where it belongs",
        )
    _add(by_key, (match[1].upper(), match[2].upper()), path)
