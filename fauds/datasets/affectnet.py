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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

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
from fauds.datasets.image_folders import SUFFIXES, FolderKey, Listing, chosen_folder
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
    """What the label files say: the labels, and where the landmarks and the image of each key are.

    Attributes:
        labels: the key, split and class code of every image.
        images: the path of each image relative to its folder of images, by key.
        places: where the landmarks of each image are, by key; see `LandmarkFiles`.
    """

    labels: list[Labels]
    images: dict[str, str]
    places: dict[str, Place]


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


def _read_sets(files: AffectnetFiles, *, codes: bool = True) -> _Listed:
    """Read the class codes in NumPy files; see `_Listed`.

    Args:
        files: the files of the release.
        codes: whether the codes are needed; if not, they are all 0, and no file is opened.
    """
    listed = _Listed([], {}, {})
    for split, folder in files.labels.items():
        names = set(os.listdir(folder))
        ids = [name.removesuffix("_exp.npy") for name in names if name.endswith("_exp.npy")]
        for identity in sorted(ids, key=natural):
            key = f"{folder.parent.name.removesuffix('_set')}/{identity}"
            code = _code(folder / f"{identity}_exp.npy") if codes else 0
            listed.labels.append((key, split, code))
            listed.images[key] = f"{identity}.jpg"
            if f"{identity}_lnd.npy" in names:
                path = folder / f"{identity}_lnd.npy"
                listed.places[key] = path.relative_to(files.base).as_posix()
    return listed


def _code(path: Path) -> int:
    values = read_npy(path)
    text = str(values.ravel()[0]) if values.size == 1 else f"an array of shape {values.shape}"
    number = text.removesuffix(".0")
    if number not in map(str, _CODES):
        raise images_of.wrong_code(text, _CODES, path)
    return int(number)


def _read_lists(files: AffectnetFiles) -> _Listed:
    """Read the class codes in lists; see `_Listed`."""
    listed = _Listed([], {}, {})
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
            if key in listed.images:
                raise file.error(
                    f"{image} is listed twice.", row, "remove the wrong one of the two lines"
                )
            listed.labels.append((key, split, code))
            listed.images[key] = image
            listed.places[key] = (path.name, row + 1)
    return listed


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
            for path in sorted(folder.glob("*_exp.npy"), key=lambda path: natural(path.name))
        ]

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a hex digest of a release, which shows whether its files have changed.

        It depends on the content of the lists; of NumPy files and images, on their names, sizes and
        modification times, since there are hundreds of thousands of them.
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
        landmarks: LandmarkFiles | None
        if files.form == "csv":
            folder = next(iter(files.labels.values())).parent
            landmarks = LandmarkFiles("affectnet-csv", 68, folder, _read_lists(files).places)
        else:
            places = _read_sets(files, codes=False).places
            landmarks = LandmarkFiles("affectnet-npy", 68, files.base, places) if places else None
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
        readers: dict[str, Callable[[AffectnetFiles], _Listed]] = {
            "npy": _read_sets,
            "csv": _read_lists,
        }
        listed = readers[files.form](files)
        labels, left_out = images_of.of_classes(listed.labels, codes)
        result = LabelledImages(
            keys=[key for key, _, _ in labels],
            splits=[split for _, split, _ in labels],
            labels=[label for _, _, label in labels],
            images=[
                _image(files, split, listed.images[key], available[split])
                for key, split, _ in labels
            ],
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
        images_of.list_files(path, (".npy",)).digest if path.is_dir() else path.read_bytes()
        for path in files.labels.values()
    ]
    return store.fingerprint("affectnet", *labels, [entry.digest for entry in available.values()])


def _image(files: AffectnetFiles, split: str, name: str, available: ImageFiles) -> str | None:
    if name not in available.names:
        return None
    folder = os.path.relpath(files.images[split], files.base).replace(os.sep, "/")
    return f"{folder}/{name}"


def _notes(files: AffectnetFiles, result: LabelledImages, options: ReadOptions) -> Iterator[str]:
    yield from result.notes(options.classes)
    places = ", ".join(path.relative_to(files.base).as_posix() for path in files.labels.values())
    yield f"label files: {places}; the validation part is the test part here"
