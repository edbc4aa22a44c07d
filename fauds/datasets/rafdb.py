"""The reader of RAF-DB's basic expressions, which makes the frames table from its list and images.

The layout of the release (Li, Deng and Du, CVPR 2017), as its readme and public code describe it::

    basic/EmoLabel/list_patition_label.txt              train_00001.jpg 5   (sic; the class code)
    basic/Image/aligned/train_00001_aligned.jpg         100 x 100 pixels
    basic/Image/original/train_00001.jpg
    basic/Annotation/manual/train_00001_manu_attri.txt  five points, gender, race, age
    basic/Annotation/boundingbox/train_00001_boundingbox.txt

The release does not say who is on its images. If you know it, a table EmoLabel/subjects.csv with
the columns image and subject makes folds and intervals those of subjects; synthetic releases have
it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fauds.datasets import labelled_images as images_of
from fauds.datasets import locate
from fauds.datasets.base import FramesSink, Reading, ReadOptions, check_options, read_marker
from fauds.datasets.image_folders import SUFFIXES, FolderKey, Listing, by_key, chosen_folder
from fauds.datasets.labelled_images import ImageFiles, LabelledImages, Labels, class_codes
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId
from fauds.errors import DataError
from fauds.tables import store

RAFDB_LAYOUT = "EmoLabel/list_patition_label.txt"
LIST = "list_patition_label.txt"
SUBJECTS = "subjects.csv"
RAFDB_CLASSES = {
    1: "surprise",
    2: "fear",
    3: "disgust",
    4: "happiness",
    5: "sadness",
    6: "anger",
    7: "neutral",
}
"""The classes of RAF-DB by their codes."""

_SEXES = {"0": "M", "1": "F", "2": None}
_GENDER_LINE = 5
_ATTRIBUTES = "_manu_attri.txt"


@dataclass(frozen=True)
class RafdbFiles:
    """The files of a release of RAF-DB.

    Attributes:
        labels: the folder EmoLabel.
        images: the folder of the images to use.
        other_images: the name of another folder of images, which could be used instead; "" if there
            is none.
    """

    labels: Path
    images: Path
    other_images: str = ""

    @property
    def base(self) -> Path:
        """The folder above EmoLabel, usually called basic."""
        return self.labels.parent

    @property
    def list(self) -> Path:
        """The path of the list of labels."""
        return self.labels / LIST

    @property
    def subjects(self) -> Path:
        """The path of the table of subjects, which only some releases have."""
        return self.labels / SUBJECTS

    @property
    def annotation(self) -> Path:
        """The path of the folder with boxes and attributes."""
        return self.base / "Annotation"


def find_files(root: Path, images: Path | None) -> RafdbFiles:
    """Find the files of a release of RAF-DB.

    Args:
        root: the folder of the release, see `fauds.datasets.locate.label_folder`.
        images: the folder of the images, relative to the root; None for Image/aligned, or
            Image/original if there are no aligned images.

    Raises:
        DataError: there is no list of labels, or no such folder of images.
    """
    labels = locate.label_folder(root, "EmoLabel", RAFDB_LAYOUT)
    if images is not None:
        return RafdbFiles(labels, chosen_folder(root.absolute(), images))
    sets = [labels.parent / "Image" / name for name in ("aligned", "original")]
    existing = [folder for folder in sets if folder.is_dir()]
    other = os.path.relpath(existing[1], root.absolute()) if len(existing) > 1 else ""
    return RafdbFiles(labels, existing[0] if existing else sets[0], other)


def read_list(path: Path) -> list[Labels]:
    """Read the list of labels: the key, split and class code of every image.

    Raises:
        DataError: the list cannot be read, or a line is wrong; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The list of labels cannot be read: {error}.",
            where=path,
            hint=f"point --root at the folder that holds {RAFDB_LAYOUT}",
        ) from error
    labels: list[Labels] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        entry = _parsed(line, f"{path}:{number}")
        if entry[0] in lines:
            raise DataError(
                f"{entry[0]} is listed twice: in lines {lines[entry[0]]} and {number}.",
                where=f"{path}:{number}",
                hint="remove the wrong one of the two lines",
            )
        lines[entry[0]] = number
        labels.append(entry)
    if not labels:
        raise DataError("The list of labels is empty.", where=path)
    return labels


def _parsed(line: str, where: str) -> Labels:
    name, _, code = line.strip().partition(" ")
    key = os.path.splitext(name)[0]
    split = key.partition("_")[0]
    if not code or split not in images_of.SPLITS:
        raise DataError(
            f"This line does not label an image: {line.strip()[:60]!r}.",
            where=where,
            hint="a line holds the name of a training or test image and its class code: "
            "train_00001.jpg 5",
        )
    if code.strip() not in map(str, RAFDB_CLASSES):
        raise images_of.wrong_code(code.strip(), RAFDB_CLASSES, where)
    return key, split, int(code)


class RafdbReader:
    """The object that reads RAF-DB's raw files, with the interface of `Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the paths of the list of labels and of the table of subjects, if there is one.

        For arguments and errors see `fauds.datasets.base.Reader`.
        """
        files = find_files(root, (options or ReadOptions()).images)
        return [files.list, *([files.subjects] if files.subjects.is_file() else [])]

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a hex digest of a release, which shows whether its files have changed."""
        files = find_files(root, (options or ReadOptions()).images)
        return _fingerprint(files, images_of.list_files(files.images))

    def image_base(
        self, folders: Mapping[FolderKey, Listing], last: Mapping[FolderKey, int], declared: Any
    ) -> tuple[int | None, str]:
        """Return no number of a first image: the list names every image."""
        return None, "the list names the images"

    @locate.os_errors()
    def footage(
        self,
        root: Path,
        last: Mapping[SequenceId, int],
        *,
        camera: Literal["left", "right"] = "left",
        image_base: int | None = None,
        images: Path | None = None,
    ) -> Footage:
        """Find the landmarks of the images.

        They are those of a table landmarks.csv in the folder of images. Without it, original images
        have the five points and the box of the release; aligned images have none. For arguments see
        `fauds.datasets.base.Reader`.
        """
        files = find_files(root, images)
        keys = [key for key, _, _ in read_list(files.list)]
        landmarks = images_of.landmark_table(files.images / images_of.LANDMARKS, keys)
        aligned, original = (files.base / "Image" / name for name in ("aligned", "original"))
        if landmarks is None and files.images.resolve() == original.resolve() != aligned.resolve():
            landmarks = _annotations(files, keys)
        annotated = landmarks is not None and landmarks.form == "rafdb-text"
        digest = store.fingerprint(
            images_of.list_files(files.images, (*SUFFIXES, ".csv")).digest,
            images_of.list_files(files.annotation, (".txt",)).digest if annotated else "",
        )
        return images_of.sources(last, landmarks, digest)

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read the list of labels, the sexes and, if there is one, the table of subjects.

        The whole release is passed to `sink` at once. For arguments see
        `fauds.datasets.base.Reader`.

        Raises:
            DataError: a line of the list is wrong, an image is listed twice, or an attribute file
                holds another gender than 0, 1 or 2.
            UsageError: the benchmark has a class that RAF-DB does not label, or an option is set
                that RAF-DB cannot be read with.
        """
        options = options or ReadOptions()
        codes = class_codes(options, RAFDB_CLASSES)
        check_options(
            options,
            sex_table="the release labels the sex of the person on each image",
            image_base=images_of.NO_NUMBERS,
            missing_aus=images_of.NO_AUS,
        )
        files = find_files(root, options.images)
        marker = read_marker(root, files.base, files.base.parent)
        available = images_of.list_files(files.images)
        paths = by_key(files.images, available.names)
        everything = read_list(files.list)
        subjects: dict[str, str] = {}
        labels, left_out = images_of.of_classes(everything, codes)
        if files.subjects.is_file():
            subjects = images_of.read_subjects(files.subjects, (key for key, _, _ in everything))
            labels = images_of.select(labels, subjects, options, files.subjects)
        else:
            check_options(options, subjects=images_of.NO_SUBJECTS)
        keys = [key for key, _, _ in labels]
        folder = os.path.relpath(files.images, files.base).replace(os.sep, "/")
        result = LabelledImages(
            keys=keys,
            splits=[split for _, split, _ in labels],
            labels=[label for _, _, label in labels],
            images=[_image(key, folder, paths) for key in keys],
            sexes=[_sex(files.annotation, key) for key in keys],
            subjects=[subjects[key] for key in keys] if subjects else [],
            left_out=left_out,
        )
        sink(result.table())
        return Reading(
            root=files.base,
            fingerprint=_fingerprint(files, available),
            synthetic=marker is not None,
            differences=result.differences(expected),
            notes=tuple(_notes(files, result, options)),
        )


RAFDB = RafdbReader()


def _fingerprint(files: RafdbFiles, available: ImageFiles) -> str:
    contents = [path.read_bytes() for path in (files.list, files.subjects) if path.is_file()]
    attributes = images_of.list_files(files.annotation / "manual", (".txt",)).digest
    return store.fingerprint("rafdb", *contents, attributes, available.digest)


def _annotations(files: RafdbFiles, keys: Iterable[str]) -> LandmarkFiles | None:
    """Return the five points that the release has of some images; None if it has none."""
    folder = files.annotation / "manual"
    names = set(os.listdir(folder) if folder.is_dir() else ())
    places = {key: key for key in keys if f"{key}{_ATTRIBUTES}" in names}
    return LandmarkFiles("rafdb-text", 5, files.annotation, places) if places else None


def _image(key: str, folder: str, paths: Mapping[str, str]) -> str | None:
    name = paths.get(f"{key}_aligned") or paths.get(key)
    return f"{folder}/{name}" if name else None


def _sex(annotation: Path, key: str) -> str | None:
    """Return the sex in an image's attribute file; None if it is unsure or there is no file."""
    path = annotation / "manual" / f"{key}{_ATTRIBUTES}"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    code = lines[_GENDER_LINE].strip() if len(lines) > _GENDER_LINE else ""
    if code not in _SEXES:
        raise DataError(
            f"The gender is {code!r}.",
            where=f"{path}:{_GENDER_LINE + 1}",
            hint="line 6 holds 0 (male), 1 (female) or 2 (unsure); copy the file again",
        )
    return _SEXES[code]


def _notes(files: RafdbFiles, result: LabelledImages, options: ReadOptions) -> Iterator[str]:
    yield from result.notes(options.classes)
    folder = os.path.relpath(files.images, files.base)
    other = f"; the others: --images {files.other_images}" if files.other_images else ""
    yield f"images: {sum(path is not None for path in result.images):,} in {folder}{other}"
    known = [sex for sex in result.sexes if sex]
    yield (
        f"sex of the person: F {known.count('F'):,}, M {known.count('M'):,}, unsure or without an "
        f"attribute file {len(result.sexes) - len(known):,}"
    )
