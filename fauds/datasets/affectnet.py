"""The reader of AffectNet, which makes the frames table from its class codes and images.

Two forms of the release circulate (Mollahosseini, Hasani and Mahoor, IEEE Transactions on Affective
Computing 2019), as public code by users of the dataset reads them::

    train_set/images/0.jpg                 224 x 224 pixels
    train_set/annotations/0_exp.npy        the class code, a NumPy file; 0_lnd.npy: 68 points
    val_set/...

    Manually_Annotated_file_lists/training.csv     subDirectory_filePath, face_x, ..., expression
    Manually_Annotated_file_lists/validation.csv
    Manually_Annotated_Images/103/29a31e....jpg

The test part of the dataset was never released: the validation part is what publications test on,
and the part "test" of the frames table. Codes 8 to 10 (none, uncertain, no face) are left out and
counted.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets import labelled_images as images_of
from fauds.datasets import locate
from fauds.datasets.base import (
    FramesSink,
    Reading,
    ReadOptions,
    check_options,
    natural,
    option_error,
    read_marker,
)
from fauds.datasets.image_folders import SUFFIXES, FolderKey, Listing, by_key, chosen_folder
from fauds.datasets.labelled_images import ImageFiles, LabelledImages, Labels, class_codes
from fauds.datasets.media_files import Footage, LandmarkFiles, Place, SequenceId
from fauds.datasets.npy_files import read_npy
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.tables import store
from fauds.tables.delimited import ColumnFile, open_columns, trimmed_texts

AFFECTNET_CLASSES = {
    0: "neutral",
    1: "happiness",
    2: "sadness",
    3: "surprise",
    4: "fear",
    5: "disgust",
    6: "anger",
    7: "contempt",
}
"""The classes of AffectNet by their codes."""

NO_CLASS = {8: "none", 9: "uncertain", 10: "no face"}
"""The codes of AffectNet that stand for no class."""

IMAGE_PATH, COORDINATES = "subDirectory_filePath", "facial_landmarks"
"""The columns of the lists with an image's path and the 68 points of its face: x;y;x;y..."""

_CODES = AFFECTNET_CLASSES | NO_CLASS
# The images of the lists are as they were found on the web.
_IMAGE_SUFFIXES = (*SUFFIXES, ".bmp", ".tif", ".tiff")
_CODE_COLUMN = "expression"
_CODE, _POINTS = "_exp.npy", "_lnd.npy"
_SETS = {"train_set": "train", "val_set": "test"}
_LISTS = {"training.csv": "train", "validation.csv": "test"}
_LIST_FOLDER, _IMAGE_FOLDER = "Manually_Annotated_file_lists", "Manually_Annotated_Images"
_LAYOUT = "train_set/annotations/0_exp.npy, or Manually_Annotated_file_lists/training.csv"


@dataclass(frozen=True)
class AffectnetFiles:
    """The files of a release of AffectNet, in one of its two forms.

    Attributes:
        base: the folder of the release, which paths of images are relative to.
        labels: the label files by what they are for: "train" and "test". They are the folders
            annotations of NumPy files, or the lists.
        form: "npy" for NumPy files, "csv" for lists.
        images: the folder of the images by what they are for.
    """

    base: Path
    labels: Mapping[str, Path]
    form: Literal["npy", "csv"]
    images: Mapping[str, Path]


@dataclass(frozen=True)
class _Listed:
    """What the label files say.

    Attributes:
        labels: the key, split and class code of every image.
        images: the path of each image relative to its folder of images, by key; images that are
            missing are left out.
    """

    labels: list[Labels]
    images: dict[str, str]


class _Annotated(NamedTuple):
    """An image with a class code in a NumPy file.

    Attributes:
        key: the key of the image, such as train/0.
        split: "train" or "test".
        identity: the name of the image without its suffix.
        code: the path of the file with the class code.
        points: the path of the file with the landmarks; None if there is none.
    """

    key: str
    split: str
    identity: str
    code: Path
    points: Path | None


def find_release(root: Path, images: Path | None = None) -> AffectnetFiles:
    """Find the files of a release of AffectNet, in either form.

    Args:
        root: the folder of the release, or the folder above it.
        images: the folder of the images that the lists name, relative to the root; None for
            Manually_Annotated_Images.

    Raises:
        DataError: the root is no folder, its path is not valid UTF-8, or it holds no label files,
            or those of both forms; or there is no such folder of images.
        UsageError: a folder of images is named for the form with NumPy files.
    """
    locate.check_root(root, _LAYOUT)
    root = root.absolute()
    tops = [root, *locate.subfolders(root)]
    both = [release for top in tops for release in (_sets(top), _lists(top, root, images))]
    releases = [release for release in both if release is not None]
    if len(releases) > 1:
        places = abbreviated([f"{release.base} ({release.form})" for release in releases])
        raise DataError(
            f"The folder holds more than one release, or both forms of it: {places}.",
            where=root,
            hint="point --root at one of them, or remove the other form",
        )
    if not releases:
        present = abbreviated(sorted((path.name for path in locate.entries(root)), key=natural))
        raise DataError(
            f"No labels found: expected {_LAYOUT}; the folder holds {present}.",
            where=root,
            hint="point --root at the folder that holds train_set and val_set, or the lists",
        )
    release = releases[0]
    if images is not None and release.form == "npy":
        raise option_error("images", "images with NumPy files are in train_set and val_set")
    return release


def _sets(top: Path) -> AffectnetFiles | None:
    folders = {split: top / name for name, split in _SETS.items()}
    labels = {s: path / "annotations" for s, path in folders.items()}
    labels = {split: path for split, path in labels.items() if path.is_dir()}
    images = {split: folders[split] / "images" for split in labels}
    return AffectnetFiles(top, labels, "npy", images) if labels else None


def _lists(top: Path, root: Path, images: Path | None) -> AffectnetFiles | None:
    folder = top / _LIST_FOLDER if (top / _LIST_FOLDER).is_dir() else top
    labels = {split: folder / name for name, split in _LISTS.items() if (folder / name).is_file()}
    if not labels or top.name == _LIST_FOLDER != root.name:
        return None
    base = top.parent if top.name == _LIST_FOLDER else top
    if images is not None:
        where = chosen_folder(root, images)
    else:
        candidates = [base / _IMAGE_FOLDER, base / "Manually_Annotated" / _IMAGE_FOLDER]
        where = next((path for path in candidates if path.is_dir()), candidates[0])
    return AffectnetFiles(base, labels, "csv", dict.fromkeys(labels, where))


def _annotated(files: AffectnetFiles) -> Iterator[_Annotated]:
    """Yield every image with a class code in a NumPy file; no file is opened."""
    for split, folder in files.labels.items():
        names = set(os.listdir(folder))
        ids = [name.removesuffix(_CODE) for name in names if name.endswith(_CODE)]
        for identity in sorted(ids, key=natural):
            key = f"{folder.parent.name.removesuffix('_set')}/{identity}"
            points = folder / f"{identity}{_POINTS}" if f"{identity}{_POINTS}" in names else None
            yield _Annotated(key, split, identity, folder / f"{identity}{_CODE}", points)


def _read_sets(files: AffectnetFiles, available: Mapping[str, ImageFiles]) -> _Listed:
    """Read the class codes in NumPy files; see `_Listed`."""
    listed = _Listed([], {})
    paths = {split: by_key(files.images[split], available[split].names) for split in files.images}
    for image in _annotated(files):
        listed.labels.append((image.key, image.split, _code(image.code)))
        if image.identity in paths[image.split]:
            listed.images[image.key] = paths[image.split][image.identity]
    return listed


def _code(path: Path) -> int:
    values = read_npy(path)
    text = str(values.ravel()[0]) if values.size == 1 else f"an array of shape {values.shape}"
    number = text.removesuffix(".0")
    if number not in map(str, _CODES):
        raise images_of.wrong_code(text, _CODES, path)
    return int(number)


def _read_lists(files: AffectnetFiles, available: Mapping[str, ImageFiles]) -> _Listed:
    """Read the class codes in lists; see `_Listed`."""
    listed = _Listed([], {})
    keys: set[str] = set()
    for split, path in files.labels.items():
        file = _open_list(path)
        table = file.read({IMAGE_PATH: pa.string(), _CODE_COLUMN: pa.int64()})
        paths = trimmed_texts(table[IMAGE_PATH])
        for row, (image, code) in enumerate(
            zip(paths, table[_CODE_COLUMN].to_pylist(), strict=True)
        ):
            key = os.path.splitext(image)[0]
            if code not in _CODES:
                error = images_of.wrong_code(code, _CODES, path)
                raise file.error(error.what, row, error.hint)
            if key in keys:
                raise file.error(
                    f"{image} is listed twice.", row, "remove the wrong one of the two lines"
                )
            keys.add(key)
            listed.labels.append((key, split, code))
            if image in available[split].names:
                listed.images[key] = image
    return listed


def _points_of_lists(files: AffectnetFiles) -> dict[str, Place]:
    """Return the name of the list and the line with the landmarks of each image that has some."""
    places: dict[str, Place] = {}
    for path in files.labels.values():
        table = _open_list(path).read({IMAGE_PATH: pa.string(), COORDINATES: pa.string()})
        known = pc.match_substring_regex(table[COORDINATES], r"\d").to_pylist()
        for line, (image, has_points) in enumerate(
            zip(trimmed_texts(table[IMAGE_PATH]), known, strict=True), start=1
        ):
            if has_points:
                places[os.path.splitext(image)[0]] = (path.name, line)
    return places


def _open_list(path: Path) -> ColumnFile:
    file = open_columns(path)
    missing = [name for name in (IMAGE_PATH, COORDINATES, _CODE_COLUMN) if name not in file.header]
    if missing:
        raise DataError(
            f"Columns are missing: {', '.join(missing)}.",
            where=f"{path}:1",
            hint="the first line names the columns: subDirectory_filePath,face_x,face_y,"
            "face_width,face_height,facial_landmarks,expression,valence,arousal",
        )
    return file


class AffectnetReader:
    """The object that reads AffectNet's raw files, with the interface of `Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the paths of the lists, or of all files with a class code.

        For arguments and errors see `fauds.datasets.base.Reader`.
        """
        files = find_release(root, (options or ReadOptions()).images)
        if files.form == "csv":
            return [*files.labels.values()]
        return [
            path
            for folder in files.labels.values()
            for path in sorted(folder.glob(f"*{_CODE}"), key=lambda path: natural(path.name))
        ]

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a hex digest of a release, which shows whether its files have changed.

        It depends on the content of the lists; of NumPy files with class codes and landmarks, and
        of images, on their names, sizes and modification times, since there are hundreds of
        thousands of them.
        """
        files = find_release(root, (options or ReadOptions()).images)
        return _fingerprint(files, _available(files))

    def image_base(
        self, folders: Mapping[FolderKey, Listing], last: Mapping[FolderKey, int], declared: Any
    ) -> tuple[int | None, str]:
        """Return no number of a first image: the label files name every image."""
        return None, "the label files name the images"

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
        """Find the 68 points of each image, which both forms of the release have.

        For arguments and errors see `fauds.datasets.base.Reader`.
        """
        files = find_release(root, images)
        form: Literal["affectnet-csv", "affectnet-npy"]
        places: dict[str, Place]
        if files.form == "csv":
            folder, form = next(iter(files.labels.values())).parent, "affectnet-csv"
            places = _points_of_lists(files)
        else:
            folder, form = files.base, "affectnet-npy"
            places = {
                image.key: image.points.relative_to(folder).as_posix()
                for image in _annotated(files)
                if image.points is not None
            }
        landmarks = LandmarkFiles(form, 68, folder, places) if places else None
        return images_of.sources(last, landmarks, _fingerprint(files, _available(files)))

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read the class codes of a release and find its images.

        The whole release is passed to `sink` at once. For arguments see
        `fauds.datasets.base.Reader`.

        Raises:
            DataError: a class code is wrong, an image is listed twice, a list lacks a column, or a
                NumPy file holds a pickle.
            UsageError: the benchmark has a class that AffectNet does not label, or an option is set
                that AffectNet cannot be read with.
        """
        options = options or ReadOptions()
        codes = class_codes(options, AFFECTNET_CLASSES, NO_CLASS)
        check_options(
            options,
            subjects=images_of.NO_SUBJECTS,
            sex_table=images_of.NO_SUBJECTS,
            image_base=images_of.NO_NUMBERS,
            missing_aus=images_of.NO_AUS,
        )
        files = find_release(root, options.images)
        marker = read_marker(root, files.base)
        available = _available(files)
        read = _read_sets if files.form == "npy" else _read_lists
        listed = read(files, available)
        labels, left_out = images_of.of_classes(listed.labels, codes)
        result = LabelledImages(
            keys=[key for key, _, _ in labels],
            splits=[split for _, split, _ in labels],
            labels=[label for _, _, label in labels],
            images=[_image(files, split, listed.images.get(key)) for key, split, _ in labels],
            sexes=[None] * len(labels),
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


AFFECTNET = AffectnetReader()


def _available(files: AffectnetFiles) -> dict[str, ImageFiles]:
    by_folder = {
        folder: images_of.list_files(folder, _IMAGE_SUFFIXES)
        for folder in set(files.images.values())
    }
    return {split: by_folder[folder] for split, folder in files.images.items()}


def _fingerprint(files: AffectnetFiles, available: Mapping[str, ImageFiles]) -> str:
    labels = [
        images_of.list_files(path, (_CODE, _POINTS)).digest if path.is_dir() else path.read_bytes()
        for path in files.labels.values()
    ]
    return store.fingerprint("affectnet", *labels, [entry.digest for entry in available.values()])


def _image(files: AffectnetFiles, split: str, name: str | None) -> str | None:
    if name is None:
        return None
    folder = os.path.relpath(files.images[split], files.base).replace(os.sep, "/")
    return f"{folder}/{name}"


def _notes(files: AffectnetFiles, result: LabelledImages, options: ReadOptions) -> Iterator[str]:
    yield from result.notes(options.classes)
    places = ", ".join(path.relative_to(files.base).as_posix() for path in files.labels.values())
    yield f"label files: {places}; the validation part is the test part here"
