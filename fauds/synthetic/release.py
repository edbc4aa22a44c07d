"""A made-up distribution on disk, in the raw layout of BP4D or DISFA.

What is written here is read by the same reader as the real thing. A marker file in its root
keeps it apart: without one a folder is never overwritten, and while the marker says that the
writing is not complete, readers refuse the folder.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fauds.errors import DataError, UsageError
from fauds.synthetic.label_writers import SyntheticLabels, write_labels
from fauds.synthetic.labels import draw_intensities, lay_out
from fauds.tables import store
from fauds.tables.paths import SYNTHETIC_MARKER
from fauds.version import VERSION

PictureForm = Literal["images", "zips", "videos"]
LandmarkForm = Literal["mat", "text"]

_PICTURE_FOLDERS: dict[tuple[str, PictureForm | None], str] = {
    ("bp4d", "images"): "2D+3D",
    ("bp4d", "zips"): "2D+3D",
    ("bp4d", "videos"): "Videos",
    ("disfa", "images"): "Frames",
    ("disfa", "videos"): "Videos_LeftCamera",
}
_OTHER_FOLDERS = ("AUCoding", "ActionUnit_Labels", "2DFeatures", "Landmark_Points", "landmarks")


def write(
    out: Path,
    like: str,
    *,
    subjects: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    labels_only: bool = False,
    pictures: PictureForm | None = None,
    landmarks: LandmarkForm = "mat",
    size: int = 128,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a made-up distribution; the same arguments write the same bytes.

    Labels come with pictures of the coded frames and with landmarks, which a few frames lack,
    see `fauds.synthetic.landmark_writers.missing_landmarks`. Pictures are

    - images: ``2D+3D/F001/T1/2440.jpg``; of DISFA ``Frames/SN001/1.jpg``, and frame 1 is there
      whether coded or not, so that the numbering can be told;
    - zips: of BP4D alone, the same images in ``2D+3D/F001.zip``;
    - videos: ``Videos/2F01_T1.avi``, up to the last coded frame, or
      ``Videos_LeftCamera/LeftVideoSN001_comp.avi``, which goes on for 9 or 10 frames. Frames that
      are not coded repeat the coded one before.

    BP4D's pictures are square. DISFA's are 4:3, the face's square with its edges drawn out.

    Args:
        out: its root. A folder that an earlier call wrote is written anew.
        like: "bp4d" or "disfa".
        subjects: how many, None for all that the dataset has.
        frames: coded frames a subject, None for all that it has.
        seed: 0 or more; decides labels, faces and views.
        labels_only: leave pictures and landmarks out.
        pictures: their form, None for BP4D's images and DISFA's videos.
        landmarks: MATLAB files as BP4D and DISFA ship them, or JAA-Net's text files.
        size: height of the pictures in pixels, 64 or more, of videos an even number.
        processes: how many draw faces; the bytes do not depend on it.
        progress: called with the frames that are drawn and all that there will be.

    Raises:
        UsageError: the folder holds something else, or pictures that this call would remove and
            not write anew; an argument is out of its range, or zip files of DISFA are asked for.
        DataError: the disk refuses.
    """
    form = None if labels_only else pictures or ("images" if like == "bp4d" else "videos")
    _check(like, form, pictures, size)
    takes = lay_out(like, subjects=subjects, frames=frames, seed=seed)
    labels = SyntheticLabels(takes, *draw_intensities(like, takes, seed))
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
    try:
        _clear(out, _PICTURE_FOLDERS.get((like, form)))
        store.write_json(out / SYNTHETIC_MARKER, marker | {"complete": False})
        write_labels(out, like, labels)
        if form is not None:
            # Drawing needs OpenCV, labels do not.
            from fauds.synthetic.sequences import MediaForm, write_footage

            style = MediaForm(like, form, landmarks, seed, size, _PICTURE_FOLDERS[like, form])
            write_footage(out, style, labels, processes=processes, progress=progress)
        store.write_json(out / SYNTHETIC_MARKER, marker | {"complete": True})
    except OSError as error:
        raise DataError(
            f"The made-up distribution could not be written: {error.strerror or error}.",
            where=error.filename or out,
            hint="free space or choose another folder, then run the same command again",
        ) from error


def _check(like: str, form: str | None, asked: str | None, size: int) -> None:
    if form is None and asked is not None:
        raise UsageError(
            "Labels alone have no pictures.", hint="leave --labels-only or --pictures out"
        )
    if (like, form) == ("disfa", "zips"):
        raise UsageError(
            "DISFA does not come in zip files.", hint="--pictures videos or --pictures images"
        )
    if size < 64:
        raise UsageError(f"The images would be {size} pixels wide.", hint="64 or more")
    if form == "videos" and size % 2:
        raise UsageError(f"A video cannot be {size} pixels high.", hint="an even number")


def _clear(out: Path, pictures: str | None) -> None:
    """Make the folder, or empty it of what an earlier call wrote.

    Args:
        out: the folder.
        pictures: the folder of pictures that will be written anew.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("This is a file.", where=out, hint="name a folder")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / SYNTHETIC_MARKER).exists():
        raise UsageError(
            f"The folder is not empty and fauds did not make it: it has no {SYNTHETIC_MARKER}.",
            where=out,
            hint="name a folder that is new or empty",
        )
    there = [name for name in sorted({*_PICTURE_FOLDERS.values()}) if (out / name).exists()]
    lost = [name for name in there if name != pictures]
    if lost:
        raise UsageError(
            "The folder holds pictures that would be removed and not written anew: "
            f"{', '.join(lost)}.",
            where=out,
            hint="name another folder, or remove this one first",
        )
    for name in (*there, *_OTHER_FOLDERS):
        if (out / name).exists():
            # The marker first: a folder half removed is not whole either.
            store.write_json(out / SYNTHETIC_MARKER, {"complete": False})
            shutil.rmtree(out / name)
