"""Writing of a synthetic release in the raw layout of BP4D, DISFA, RAF-DB or AffectNet.

A synthetic release is read by the same reader as the real dataset. A marker file in its root folder
says that it is synthetic: a folder without the marker is never overwritten, and readers raise an
error while the marker says that writing is incomplete.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fauds.errors import DataError, UsageError
from fauds.synthetic.expressions import EXPRESSION_LAYOUTS, lay_out_portraits
from fauds.synthetic.label_writers import SyntheticLabels, write_labels
from fauds.synthetic.labels import draw_intensities, lay_out
from fauds.tables import store
from fauds.tables.paths import SYNTHETIC_MARKER
from fauds.version import VERSION

ImageForm = Literal["images", "zips", "videos"]
LandmarkForm = Literal["mat", "text"]

_IMAGE_FOLDERS: dict[tuple[str, ImageForm | None], str] = {
    ("bp4d", "images"): "2D+3D",
    ("bp4d", "zips"): "2D+3D",
    ("bp4d", "videos"): "Videos",
    ("disfa", "images"): "Frames",
    ("disfa", "videos"): "Videos_LeftCamera",
}
_SIZE = 128
_OTHER_FOLDERS = ("AUCoding", "ActionUnit_Labels", "2DFeatures", "Landmark_Points", "landmarks")


def write(
    out: Path,
    like: str,
    *,
    subjects: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    labels_only: bool = False,
    pictures: ImageForm | None = None,
    landmarks: LandmarkForm = "mat",
    size: int | None = None,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a synthetic release; the same arguments write the same bytes.

    The release has labels, images of the coded frames, and landmarks. A few frames have no
    landmarks, see `fauds.synthetic.landmark_writers.missing_landmarks`. The images are written in
    one of three forms:

    - images: ``2D+3D/F001/T1/2440.jpg`` for BP4D; ``Frames/SN001/1.jpg`` for DISFA, which always
      includes frame 1, so that readers can infer the numbering;
    - zips: the same images in ``2D+3D/F001.zip``, for BP4D only;
    - videos: ``Videos/2F01_T1.avi``, up to the last coded frame, for BP4D;
      ``Videos_LeftCamera/LeftVideoSN001_comp.avi``, with 9 or 10 further frames, for DISFA. A
      frame that is not coded repeats the coded frame before it.

    Images of BP4D are square. Images of DISFA are 4:3: the square image of the face with its left
    and right edges repeated.

    Releases of single images with expressions, "rafdb", "affectnet" (NumPy files) and
    "affectnet-csv" (lists), have images and landmarks of every face in the dataset's own form; see
    `fauds.synthetic.expressions` for what they show.

    Args:
        out: the root folder. A release that an earlier call wrote there is replaced.
        like: the dataset to imitate, "bp4d", "disfa", or one of
            `fauds.synthetic.expressions.EXPRESSION_LAYOUTS`.
        subjects: the number of subjects; None for all subjects of the dataset, or for 90 people on
            single images.
        frames: the number of coded frames per subject; None for all coded frames of the dataset.
            For single images, the number of images per person in the training part; None for 24.
        seed: the random seed of labels, faces and views, 0 or more.
        labels_only: whether to write neither images nor landmarks.
        pictures: the form of the images; None for images of BP4D and videos of DISFA.
        landmarks: the format of the landmarks: MATLAB files as BP4D and DISFA ship them, or
            JAA-Net's text files.
        size: the height of the images in pixels, 64 or more; an even number for videos. None for
            128 pixels, or 112 for single images.
        processes: the number of processes that draw faces; the bytes do not depend on it.
        progress: a function that is called with the number of frames drawn so far and the number
            of all frames.

    Raises:
        UsageError: the folder holds other files, or images that this call would remove but not
            replace; an argument is out of its range; or a form is requested that the dataset does
            not have.
        DataError: a file cannot be written.
    """
    if like in EXPRESSION_LAYOUTS:
        _check_single_images(like, pictures, landmarks)
        _write_single_images(
            out,
            like,
            subjects=subjects,
            frames=frames,
            seed=seed,
            size=size,
            labels_only=labels_only,
            processes=processes,
            progress=progress,
        )
        return
    size = _SIZE if size is None else size
    form = None if labels_only else pictures or ("images" if like == "bp4d" else "videos")
    _check(like, form, pictures, size)
    sequences = lay_out(like, subjects=subjects, frames=frames, seed=seed)
    labels = SyntheticLabels(sequences, *draw_intensities(like, sequences, seed))
    marker = {
        "like": like,
        "seed": seed,
        "subjects": subjects,
        "frames": frames,
        "labels_only": labels_only,
        "pictures": form,
        "landmarks": None if labels_only else landmarks,
        "size": size,
        "version": VERSION,
    }
    folder = _IMAGE_FOLDERS.get((like, form))
    with _writing(out, marker, (folder,) if folder else ()):
        write_labels(out, like, labels)
        if form is not None:
            # Imported here, because only drawing needs OpenCV.
            from fauds.synthetic.sequences import MediaForm, write_media

            style = MediaForm(like, form, landmarks, seed, size, _IMAGE_FOLDERS[like, form])
            write_media(out, style, labels, processes=processes, progress=progress)


def _write_single_images(
    out: Path,
    like: str,
    *,
    subjects: int | None,
    frames: int | None,
    seed: int,
    size: int | None,
    labels_only: bool,
    processes: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write a release of single images; see `write` for the arguments and errors."""
    layout = EXPRESSION_LAYOUTS[like]
    size = layout.size if size is None else size
    _check_size(size)
    portraits = lay_out_portraits(like, people=subjects, images=frames, seed=seed)
    marker = {
        "like": like,
        "subjects": subjects,
        "frames": frames,
        "seed": seed,
        "size": size,
        "labels_only": labels_only,
        "version": VERSION,
    }
    with _writing(out, marker, () if labels_only else layout.folders):
        # Imported here, because only drawing needs OpenCV.
        from fauds.synthetic.expression_writers import write_portraits

        write_portraits(
            out,
            like,
            portraits,
            seed=seed,
            size=size,
            images=not labels_only,
            processes=processes,
            progress=progress,
        )


@contextmanager
def _writing(out: Path, marker: dict[str, Any], written: tuple[str, ...]) -> Iterator[None]:
    """Clear the folder of a release, and mark it as complete after the code in the context.

    Args:
        out: the root folder of the release.
        marker: the settings of the release, to be stored in the marker file.
        written: the subfolders of images that are written anew; see `_clear`.

    Raises:
        DataError: a file cannot be written.
    """
    try:
        _clear(out, written)
        store.write_json(out / SYNTHETIC_MARKER, marker | {"complete": False})
        yield
        store.write_json(out / SYNTHETIC_MARKER, marker | {"complete": True})
    except OSError as error:
        raise DataError(
            f"The synthetic release could not be written: {error.strerror or error}.",
            where=error.filename or out,
            hint="free some disk space or choose another folder, then run the same command again",
        ) from error


def _check_single_images(like: str, pictures: str | None, landmarks: str) -> None:
    if pictures not in (None, "images"):
        raise UsageError(
            f"A release like {like} has single images, no {pictures}.",
            hint="omit --pictures",
        )
    if landmarks != "mat":
        raise UsageError(
            f"A release like {like} has its landmarks in a form of its own.",
            hint="omit --landmarks",
        )


def _check_size(size: int) -> None:
    if size < 64:
        raise UsageError(
            f"The size of the images must be 64 pixels or more, not {size}.",
            hint="choose 64 or more (--size)",
        )


def _check(like: str, form: str | None, pictures: str | None, size: int) -> None:
    if form is None and pictures is not None:
        raise UsageError(
            "A form of images is requested (--pictures) for a release with labels only.",
            hint="omit --labels-only or --pictures",
        )
    if (like, form) == ("disfa", "zips"):
        raise UsageError(
            "The images of DISFA cannot be written as zip files.",
            hint="choose --pictures videos or --pictures images",
        )
    _check_size(size)
    if form == "videos" and size % 2:
        raise UsageError(
            f"The height of videos must be an even number of pixels, not {size}.",
            hint="choose an even number (--size)",
        )


def _clear(out: Path, written: tuple[str, ...]) -> None:
    """Create the folder of a release, or remove the files that an earlier call wrote there.

    Args:
        out: the root folder of the release.
        written: the names of the subfolders of images that this call writes anew; empty if it
            writes no images.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(
            "The output path is a file, not a folder.",
            where=out,
            hint="name a new or an empty folder",
        )
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / SYNTHETIC_MARKER).exists():
        raise UsageError(
            f"The folder is not empty and was not written by fauds: it has no {SYNTHETIC_MARKER}.",
            where=out,
            hint="name a new or an empty folder",
        )
    single = {name for layout in EXPRESSION_LAYOUTS.values() for name in layout.folders}
    existing = [
        name for name in sorted({*_IMAGE_FOLDERS.values(), *single}) if (out / name).exists()
    ]
    # Folders of single images hold the labels too, so that they may have no images.
    lost = [
        name
        for name in existing
        if name not in written and (name not in single or any((out / name).rglob("*.jpg")))
    ]
    if lost:
        raise UsageError(
            f"The folder holds images that would be removed but not replaced: {', '.join(lost)}.",
            where=out,
            hint="name another folder, or remove this one first",
        )
    for name in (*existing, *_OTHER_FOLDERS):
        if (out / name).exists():
            # The marker comes first, so that an interrupted removal leaves an incomplete release.
            store.write_json(out / SYNTHETIC_MARKER, {"complete": False})
            shutil.rmtree(out / name)
