"""The reader of BP4D-Spontaneous, which makes the frames table from its AU labels and images.

The dataset is that of Zhang et al., BP4D-Spontaneous, Image and Vision Computing 2014. Public code
by users of the dataset reads files with this layout::

    AUCoding/AU_OCC/F001_T1.csv             header 0,1,...,99; a row per coded frame; 9 = not coded
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv   frame,intensity without a header; 9 = not coded
    <any folders>/F001/T1/2440.jpg          the images, numbered as the frames in the labels

The FERA 2015 release has the occurrence files directly in AUCoding/, and the intensity files in
"AU Intensity Codes3.0" beside AUCoding/.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds.datasets import archives, jaa_text, locate, tree
from fauds.datasets import image_folders as images
from fauds.datasets import label_text as text
from fauds.datasets.base import (
    FramesSink,
    Reading,
    ReadOptions,
    check_options,
    read_marker,
    sequence_key,
)
from fauds.datasets.frames_table import CodedSequence, FramesTableWriter, LabelPart
from fauds.datasets.label_files import LabelFile, LabelFileReader, label_error, load_first_line
from fauds.datasets.label_text import MISSING, Block, LabelLayout
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId
from fauds.datasets.media_search import (
    DATASET_VIDEO_SUFFIXES,
    MediaFiles,
    by_sequence,
    collect_sources,
)
from fauds.datasets.numbering import BaseRule, Numbering
from fauds.datasets.subjects import abbreviated, differences, select_subjects
from fauds.errors import DataError
from fauds.facs import AUS, au_number
from fauds.tables import store

BP4D_LAYOUT = "AUCoding/AU_OCC/F001_T1.csv (or AUCoding/F001_T1.csv)"
INTENSITY_FOLDERS = ("AU_INT", "AU Intensity Codes3.0", "AU-Intensity-Codes3.0")

_OCCURRENCE_NAME = re.compile(r"([FM]\d{3})_(T\d+)\.csv", re.IGNORECASE | re.ASCII)
_INTENSITY_NAME = re.compile(r"([FM]\d{3})_(T\d+)(?:_AU0*(\d+))?\.csv", re.IGNORECASE | re.ASCII)
_INTENSITY_FOLDER = re.compile(r"AU0*(\d+)", re.IGNORECASE | re.ASCII)

SequenceName = tuple[str, str]

OCCURRENCE_COLUMNS = "occurrence"


@dataclass(frozen=True)
class Bp4dLabelFiles:
    """The paths of the label files in a release of BP4D.

    Attributes:
        labels: the folder AUCoding.
        image_root: the folder to search for images.
        occurrence: the path of the file with the occurrence of all action units (AUs), by sequence
            (subject and task).
        intensity: the path of the file with the intensity of one AU, by AU and then by sequence.
        ignored: files and folders that are not read, because their names are not those of label
            files.
    """

    labels: Path
    image_root: Path
    occurrence: dict[SequenceName, Path]
    intensity: dict[str, dict[SequenceName, Path]]
    ignored: list[Path]

    def paths(self) -> list[Path]:
        """Return the paths of all occurrence files, then of all intensity files, sorted by AU."""
        by_au = (path for files in self.intensity.values() for path in files.values())
        return [*self.occurrence.values(), *by_au]

    def intensity_aus(self) -> list[str]:
        """Return the names of the AUs for which at least one sequence has an intensity file."""
        return [au for au, files in self.intensity.items() if files]

    def sequences(self) -> Iterator[tuple[SequenceName, dict[str, Path]]]:
        """Yield the subject and task of each sequence, and a dictionary of its label files.

        In the dictionary, the key of the occurrence file is `OCCURRENCE_COLUMNS`, and the key of
        an intensity file is the name of its AU. The values are paths.
        """
        for key, path in self.occurrence.items():
            coded = {au: files[key] for au, files in self.intensity.items() if key in files}
            yield key, {OCCURRENCE_COLUMNS: path, **coded}


def find_label_files(root: Path, options: ReadOptions) -> Bp4dLabelFiles:
    """Find the label files in a release of BP4D, which may be incomplete.

    Args:
        root: the folder of the release, see `fauds.datasets.locate.label_folder`.
        options: the options of reading; the option `subjects` limits the files to some subjects.

    Raises:
        DataError: there are no label files, two files belong to the same sequence, or an
            intensity file is in the folder of another AU.
    """
    labels = locate.label_folder(root, "AUCoding", BP4D_LAYOUT)
    read_marker(root, labels.parent)
    folder = next((f for f in locate.subfolders(labels) if f.name.upper() == "AU_OCC"), labels)
    occurrence, ignored = _sequences(locate.files(folder, ".csv"))
    if not occurrence:
        present = [path.name for path in locate.entries(folder)]
        raise DataError(
            f"No labels found: expected {BP4D_LAYOUT}; the folder holds {abbreviated(present)}.",
            where=folder,
            hint="extract the release's AUCoding archive here, or point --root elsewhere",
        )
    selected = set(select_subjects([subject for subject, _ in occurrence], options, folder))
    occurrence = {key: occurrence[key] for key in _in_order(occurrence) if key[0] in selected}
    intensity, unrecognised = _intensities(labels, occurrence)
    image_root = locate.image_root(root, labels)
    return Bp4dLabelFiles(labels, image_root, occurrence, intensity, ignored + unrecognised)


def _in_order(keys: Iterable[SequenceName]) -> list[SequenceName]:
    return sorted(keys, key=lambda key: sequence_key(*key))


def _sequences(paths: Sequence[Path]) -> tuple[dict[SequenceName, Path], list[Path]]:
    """Return the files with names such as F001_T1.csv, by subject and task; and all other files."""
    by_key: dict[SequenceName, Path] = {}
    others = []
    for path in paths:
        match = _OCCURRENCE_NAME.fullmatch(path.name)
        if match is None:
            others.append(path)
            continue
        _add(by_key, (match[1].upper(), match[2].upper()), path)
    return by_key, others


def _add(by_key: dict[SequenceName, Path], key: SequenceName, path: Path) -> None:
    if key in by_key:
        raise DataError(
            f"{by_key[key].name} and {path.name} are both labels of {'/'.join(key)}.",
            where=path,
            hint="keep only the file that belongs to the release",
        )
    by_key[key] = path


def _intensities(
    labels: Path, sequences: Mapping[SequenceName, Path]
) -> tuple[dict[str, dict[SequenceName, Path]], list[Path]]:
    """Return the intensity files of sequences; and the files and folders with other names.

    Args:
        labels: the folder AUCoding.
        sequences: the sequences (subject and task) whose intensity files are wanted.

    Returns:
        The path of each intensity file, by AU and then by sequence; and the paths of files and
        folders whose names are not those of intensity files.
    """
    names = {name.lower() for name in INTENSITY_FOLDERS}
    candidates = [*locate.subfolders(labels), *locate.subfolders(labels.parent)]
    folders = [folder for folder in candidates if folder.name.lower() in names]
    if len(folders) > 1:
        raise DataError(
            f"There are two folders of intensity files: {folders[0]} and {folders[1]}.",
            where=folders[1],
            hint="keep only the folder that belongs to the release",
        )
    by_au: dict[str, dict[SequenceName, Path]] = {}
    others: list[Path] = []
    for folder in locate.subfolders(folders[0]) if folders else ():
        match = _INTENSITY_FOLDER.fullmatch(folder.name)
        if match is None or (au := f"AU{int(match[1]):02d}") not in AUS:
            others.append(folder)
            continue
        by_key: dict[SequenceName, Path] = {}
        for path in locate.files(folder, ".csv"):
            _add_intensity(by_key, path, int(match[1]), others)
        by_au[au] = {key: by_key[key] for key in sequences if key in by_key}
    return by_au, others


def _add_intensity(
    by_key: dict[SequenceName, Path], path: Path, number: int, others: list[Path]
) -> None:
    match = _INTENSITY_NAME.fullmatch(path.name)
    if match is None:
        others.append(path)
        return
    if match[3] is not None and int(match[3]) != number:
        raise DataError(
            f"{path.name} is in the folder {path.parent.name}, which is for another AU.",
            where=path,
            hint="compare with the original release, and move the file to the folder of its AU",
        )
    _add(by_key, (match[1].upper(), match[2].upper()), path)


_FIRST_NUMBERS = ("01", "03", "07", "08", "09", "10", "11", "13")
"""The numbers that tasks T1 to T8 had when they were recorded, as in some names of videos."""

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE | re.ASCII)
_TASK = re.compile(r"T\d+", re.IGNORECASE | re.ASCII)
_VIDEO = re.compile(r"2?([FM])(\d{2,3})_(?:T(\d)|(\d{2}))", re.IGNORECASE | re.ASCII)
_MATRIX = re.compile(r"([FM]\d{3})_(T\d+)", re.IGNORECASE | re.ASCII)
_MATRIX_FOLDERS = ("2dfeatures", "bp4d-fpoints")


def find_media(
    top: Path, last: Mapping[SequenceId, int], rule: BaseRule, declared: int | None
) -> Footage:
    """Find the zip files of images, the videos and the landmarks of BP4D, below a folder.

    Args:
        top: the folder to search, with all folders in it.
        last: the number of the last labelled frame of each sequence (subject and task).
        rule: the reader's `image_base`, which derives the image base (the number of the image that
            shows labelled frame 1) of the images in zip files.
        declared: the image base, 0 or 1, if the user states it; None to derive it.

    Raises:
        DataError: two files belong to the same sequence, an archive is damaged, or a list of
            frames does not match its landmarks.
    """
    walked = tree.walk(top, lambda folder: sequence_of(folder.parts[-2:]) is not None)
    folders = [(folder, files) for folder, files in walked if files is not None]
    matrices = tree.files_ending(folders, (".mat",))
    texts = tree.files_ending(folders, ("land.txt",))
    lists, notes = jaa_text.find(
        filter(jaa_text.is_landmarks, texts), last, sequence_of, lambda _: 1
    )
    landmarks = {
        sequence: LandmarkFiles("bp4d-mat", 49, path, {})
        for sequence, path in by_sequence(matrices, _of_matrix, last, "landmarks").items()
    }
    if landmarks.keys() & lists.keys():
        notes.append("landmarks exist as .mat and as text files: the .mat files are used")
    return collect_sources(
        top,
        last,
        MediaFiles(
            archives.find(tree.files_ending(folders, (".zip",)), last, sequence_of, rule, declared),
            by_sequence(
                tree.files_ending(folders, DATASET_VIDEO_SUFFIXES), _of_video, last, "videos"
            ),
            {**lists, **landmarks},
            landmark_notes=tuple(notes),
        ),
    )


def sequence_of(folders: Iterable[str]) -> SequenceId | None:
    """Return the subject and task that the names of folders state, or None if they state none.

    Args:
        folders: the names of nested folders, the outermost first. The last name must be a task,
            such as T1, and one of the other names a subject, such as F001.
    """
    *above, task = folders
    subject = next(filter(_SUBJECT.fullmatch, reversed(above)), None)
    if subject is None or not _TASK.fullmatch(task):
        return None
    return subject.upper(), task.upper()


def _of_video(path: Path) -> SequenceId | None:
    match = _VIDEO.fullmatch(path.stem)
    if match is None or (match[4] and match[4] not in _FIRST_NUMBERS):
        return None
    task = int(match[3]) if match[3] else _FIRST_NUMBERS.index(match[4]) + 1
    return f"{match[1].upper()}{int(match[2]):03d}", f"T{task}"


def _of_matrix(path: Path) -> SequenceId | None:
    match = _MATRIX.fullmatch(path.stem)
    if match is None or path.parent.name.lower() not in _MATRIX_FOLDERS:
        return None
    return match[1].upper(), match[2].upper()


_INTENSITY_COLUMNS = LabelLayout(2, 0, (1,), 0, frozenset({0, 1, 2, 3, 4, 5, MISSING}))


class Bp4dReader:
    """Reads BP4D's raw files, with the interface of `fauds.datasets.base.Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the paths of all occurrence files, then of all intensity files.

        Args:
            root: the folder of the release.
            options: the options of reading; None for the defaults of `ReadOptions`.

        Raises:
            DataError: there are no label files; the message names the expected layout.
        """
        return find_label_files(root, options or ReadOptions()).paths()

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a hex digest of a release, which shows whether its files have changed.

        It depends on the contents of the label files, and on the names, sizes and modification
        times of the images.
        """
        options = options or ReadOptions()
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.occurrence, options.images)
        return _fingerprint(release, LabelFileReader(release.labels.parent), folders)

    def image_base(
        self,
        folders: Mapping[images.Key, images.Listing],
        last: Mapping[images.Key, int],
        declared: int | None,
    ) -> tuple[int | None, str]:
        """Return the number of the image that shows labelled frame 1, and how this is known.

        The number is `declared` if this is not None, and otherwise 1, since BP4D's images have the
        same numbers as the labels. The number is None if there are no images.
        """
        if not folders:
            return None, ""
        return (1, "numbered as the labels") if declared is None else (declared, "declared")

    @locate.os_errors()
    def footage(
        self,
        root: Path,
        last: Mapping[SequenceName, int],
        *,
        camera: Literal["left", "right"] = "left",
        image_base: int | None = None,
        images: Path | None = None,
    ) -> Footage:
        """Find the zip files of images, the videos and the landmarks to crop faces from.

        See `fauds.datasets.base.Reader.footage` for the arguments. `camera` and `images` have no
        effect: BP4D has one camera.
        """
        top = locate.image_root(root, locate.label_folder(root, "AUCoding", BP4D_LAYOUT))
        return find_media(top, last, self.image_base, image_base)

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read the labels of a release of BP4D and find its images; the release may be incomplete.

        Args:
            root: the folder of the release, its AUCoding folder, or the folder above the release
                if that holds only one release.
            expected: the published numbers of subjects, sequences and frames to compare with, see
                `fauds.datasets.subjects.differences`; None skips the comparison.
            options: the options of reading; None for the defaults of `ReadOptions`.
            sink: a function that is called with some rows of the frames table at a time, see
                `fauds.datasets.base.Reader.read`.

        Raises:
            DataError: a file differs from the layout of the release; the message names the file
                and, if possible, the line.
            UsageError: the options name a table of sexes, but BP4D's subject ids state the sex.
        """
        options = options or ReadOptions()
        check_options(options, sex_table="its subject ids begin with F or M")
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.occurrence, options.images)
        occurrence_aus = _occurrence_aus(release, options)
        label_files = LabelFileReader(release.labels.parent)
        numbering = Numbering(folders, self.image_base, options.image_base)
        writer = FramesTableWriter(sink, numbering)
        uncoded: Counter[str] = Counter()
        for group in label_files.groups(release.sequences()):
            labels = _labels(group, occurrence_aus, release.intensity_aus(), options)
            uncoded.update({au: int((v == MISSING).sum()) for au, v in labels.intensity.items()})
            writer.add(labels, {subject: subject[0] for (subject, _), _ in group})
        return Reading(
            root=release.image_root,
            fingerprint=_fingerprint(release, label_files, folders),
            synthetic=read_marker(root, release.image_root, release.labels.parent) is not None,
            image_base=numbering.base,
            differences=differences(writer.counts, expected),
            notes=(
                *_label_notes(writer, uncoded),
                *images.notes(folders, numbering.base, numbering.how, writer.without_image),
                *locate.ignored_notes(release.ignored, release.labels.parent),
            ),
        )


BP4D = Bp4dReader()


def _fingerprint(
    release: Bp4dLabelFiles,
    label_files: LabelFileReader,
    folders: Mapping[images.FolderKey, images.ImageFolder],
) -> str:
    labels = label_files.fingerprint(release.paths())
    return store.fingerprint("bp4d", labels, images.fingerprint(folders))


def _occurrence_aus(release: Bp4dLabelFiles, options: ReadOptions) -> list[str]:
    """Return the names of the AUs that get a column in the frames table, sorted.

    These are the AUs that the options name, and the AUs that have a column in an occurrence file.
    """
    aus = set(options.aus)
    headers: set[bytes] = set()
    for path in release.occurrence.values():
        first_line = load_first_line(path, release.labels.parent)
        if (header := text.header(first_line)) not in headers:
            headers.add(header)
            aus.update(_columns(first_line, options)[0])
    return sorted(aus)


def _labels(
    group: Sequence[tuple[SequenceName, Mapping[str, LabelFile]]],
    occurrence_aus: Sequence[str],
    intensity_aus: Sequence[str],
    options: ReadOptions,
) -> LabelPart:
    blocks = _occurrence([files[OCCURRENCE_COLUMNS] for _, files in group], options)
    sequences = [
        CodedSequence(*key, block.frames)
        for (key, _), (_, block) in zip(group, blocks, strict=True)
    ]
    ends = np.cumsum([len(sequence.frames) for sequence in sequences]).tolist()
    # A sequence whose file has no column of an AU is not coded for that AU.
    occurrence = {au: np.full(ends[-1], MISSING, np.int8) for au in occurrence_aus}
    for (aus, block), end in zip(blocks, ends, strict=True):
        for au, values in zip(aus, block.values, strict=True):
            occurrence[au][end - len(values) : end] = values
    return LabelPart(sequences, occurrence, _intensity(group, sequences, intensity_aus))


def _intensity(
    group: Sequence[tuple[SequenceName, Mapping[str, LabelFile]]],
    sequences: Sequence[CodedSequence],
    aus: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return the intensities of all coded frames of some sequences, by AU.

    Args:
        group: each sequence (subject and task), and its label files in memory.
        sequences: the sequences of `group`, with the numbers of their coded frames.
        aus: the names of the AUs to read.

    Returns:
        For each AU, an int8 array with the intensities in the frames of the first sequence, then of
        the second, and so on; MISSING where the intensity is not coded.
    """
    present = [(au, index) for au in aus for index, (_, files) in enumerate(group) if au in files]
    blocks = text.parse([group[index][1][au] for au, index in present], _INTENSITY_COLUMNS)
    parsed = dict(zip(present, blocks, strict=True))
    return {
        au: np.concatenate(
            [
                _aligned(sequence.frames, parsed.get((au, index)))
                for index, sequence in enumerate(sequences)
            ]
        )
        for au in aus
    }


def _label_notes(writer: FramesTableWriter, uncoded: Mapping[str, int]) -> list[str]:
    notes = [f"labels: {len(writer.counts)} occurrence files, {writer.rows:,} coded frames"]
    if uncoded:
        counts = ", ".join(f"{au} {count:,}" for au, count in uncoded.items())
        notes.append(f"coded frames without intensity: {counts}")
    return notes


def _occurrence(
    files: Sequence[LabelFile], options: ReadOptions
) -> list[tuple[tuple[str, ...], Block]]:
    """Return the names of the AUs in each occurrence file, and the file's labels of these AUs.

    Files with the same header are parsed together, which is faster.
    """
    groups: dict[bytes, list[int]] = {}
    for index, file in enumerate(files):
        groups.setdefault(text.header(file), []).append(index)
    parsed: dict[int, tuple[tuple[str, ...], Block]] = {}
    for members in groups.values():
        aus, columns = _columns(files[members[0]], options)
        blocks = text.parse([files[index] for index in members], columns)
        parsed |= {i: (aus, block) for i, block in zip(members, blocks, strict=True)}
    return [parsed[index] for index in range(len(files))]


def _columns(file: LabelFile, options: ReadOptions) -> tuple[tuple[str, ...], LabelLayout]:
    """Return the names of the AUs in the header of an occurrence file, and the file's layout.

    Columns are identified by the header and not by their position, because some releases leave
    out columns.
    """
    cells = text.header_cells(file)
    numbers = [_header_number(cell) for cell in cells]
    if None in numbers or 0 not in numbers or len(set(numbers)) != len(numbers):
        raise label_error(
            "The first line is not a header: it must hold 0 (for the frame number) and AU numbers, "
            f"each once, but begins with {','.join(cells[:5])[:60]!r}.",
            file.path,
            1,
        )
    positions = {f"AU{n:02d}": at for at, n in enumerate(numbers) if f"AU{n:02d}" in AUS}
    for au in options.aus if options.missing_aus == "error" else ():
        if au not in positions:
            raise label_error(f"The header has no column {au_number(au)} ({au}).", file.path, 1)
    if not positions:
        raise label_error("The header names no action unit.", file.path, 1)
    allowed = frozenset({0, 1, MISSING})
    columns = LabelLayout(len(cells), numbers.index(0), tuple(positions.values()), 1, allowed)
    return tuple(positions), columns


@cache
def _header_number(cell: str) -> int | None:
    match = re.fullmatch(r"(?:AU[ _-]?)?(\d{1,2})", cell, re.IGNORECASE | re.ASCII)
    return 0 if cell.lower() == "frame" else int(match[1]) if match else None


def _aligned(frames: np.ndarray, block: Block | None) -> np.ndarray:
    """Return the intensities of an AU in the frames, int8 [frames]; MISSING where not coded.

    Args:
        frames: the numbers of the frames.
        block: the labels in the AU's intensity file, which may be of other frames; None if there
            is no file.
    """
    if block is not None and np.array_equal(block.frames, frames):
        intensities: np.ndarray = block.values[0]
        return intensities
    values = np.full(len(frames), MISSING, np.int8)
    if block is not None:
        at = np.searchsorted(block.frames, frames).clip(max=len(block.frames) - 1)
        is_coded = block.frames[at] == frames
        values[is_coded] = block.values[0][at[is_coded]]
    return values
