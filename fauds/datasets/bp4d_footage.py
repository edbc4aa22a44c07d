"""What BP4D's sequences can be cropped from: archives, videos and landmarks.

The layouts, as the release's users' public code reads them::

    <any folders>/F001.zip              with F001/T1/2440.jpg or T1/2440.jpg
    <any folders>/2F01_T5.avi           the video of F001/T5, or 2F01_09.avi by its first number
    2DFeatures/F001_T5.mat              49 points of every frame of the video
    <any folders>/NAME_land.txt         49 points a line, the frames in NAME_path.txt
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fauds.datasets import archives, jaa_text, tree
from fauds.datasets.footage import Footage, LandmarkFiles, SequenceId
from fauds.datasets.numbering import BaseRule
from fauds.datasets.sources import DATASET_VIDEO_SUFFIXES, Found, assemble, by_sequence

_FIRST_NUMBERS = ("01", "03", "07", "08", "09", "10", "11", "13")
"""The numbers that tasks T1 to T8 had when they were recorded."""

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE | re.ASCII)
_TASK = re.compile(r"T\d+", re.IGNORECASE | re.ASCII)
_VIDEO = re.compile(r"2?([FM])(\d{2,3})_(?:T(\d)|(\d{2}))", re.IGNORECASE | re.ASCII)
_MATRIX = re.compile(r"([FM]\d{3})_(T\d+)", re.IGNORECASE | re.ASCII)
_MATRIX_FOLDERS = ("2dfeatures", "bp4d-fpoints")


def find_media(
    top: Path, last: Mapping[SequenceId, int], rule: BaseRule, declared: int | None
) -> Footage:
    """Find what the sequences can be cropped from, at any depth.

    Args:
        top: where to look.
        last: by sequence, the last labelled frame.
        rule: the reader's `image_base`, for images in archives.
        declared: what the user says the base is.

    Raises:
        DataError: two files of one sequence, a broken archive, or lists that do not fit.
    """
    walked = tree.walk(top, lambda folder: sequence_of(folder.parts[-2:]) is not None)
    folders = [(folder, files) for folder, files in walked if files is not None]
    matrices, texts = tree.named(folders, (".mat",)), tree.named(folders, ("land.txt",))
    lists, notes = jaa_text.find(
        filter(jaa_text.is_landmarks, texts), last, sequence_of, lambda _: 1
    )
    landmarks = {
        sequence: LandmarkFiles("bp4d-mat", 49, path, {})
        for sequence, path in by_sequence(matrices, _of_matrix, last, "landmarks").items()
    }
    if landmarks.keys() & lists.keys():
        notes.append("landmarks are there as .mat and as text: the .mat are taken")
    return assemble(
        top,
        last,
        Found(
            archives.find(tree.named(folders, (".zip",)), last, sequence_of, rule, declared),
            by_sequence(tree.named(folders, DATASET_VIDEO_SUFFIXES), _of_video, last, "videos"),
            {**lists, **landmarks},
            landmark_notes=tuple(notes),
        ),
    )


def sequence_of(folders: Iterable[str]) -> SequenceId | None:
    """Return the sequence of images in a folder: the innermost is the task, a subject above."""
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
