"""What DISFA's subjects can be cropped from: archives, videos and landmarks.

The layouts, as the release's users' public code reads them::

    Videos_LeftCamera/LeftVideoSN001_comp.avi               and Right; names of folders vary
    Landmark_Points/SN001/tmp_frame_lm/SN001_0000_lm.mat    66 points; numbers count from 0
    Landmark_Points/SN031/tmp_frame_lm/l00000_lm.mat        one subject's are named otherwise
    <any folders>/SN001.zip                                 with images
    <any folders>/NAME_66land.txt                           66 points a line, see NAME_path.txt
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from fauds.datasets import archives, images, jaa_text, tree
from fauds.datasets.footage import Footage, LandmarkFiles, SequenceId
from fauds.datasets.images import Listing
from fauds.datasets.numbering import BaseRule, find_base
from fauds.datasets.sources import DATASET_VIDEO_SUFFIXES, Found, assemble, by_sequence
from fauds.errors import DataError

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE | re.ASCII)
_VIDEO = re.compile(r"(Left|Right)Video(SN\d{3})_comp(?:\.avi)?", re.IGNORECASE | re.ASCII)
_MATRIX = re.compile(r"(SN\d{3}_|l)(\d+)_lm\.mat", re.IGNORECASE | re.ASCII)
_SIDE = re.compile(
    r"((?<![A-Za-z])(?i:left|right)|(?<=[a-z])(?:Left|Right))(?=$|[^a-z]|cam|vid|view)", re.ASCII
)
_OTHER_CAMERA = "landmarks: none for the right camera, since the distribution's are the left one's"


def find_media(
    top: Path,
    last: Mapping[SequenceId, int],
    rule: BaseRule,
    declared: int | None,
    camera: Literal["left", "right"],
    within: Path | None,
) -> Footage:
    """Find what the subjects can be cropped from, at any depth.

    Args:
        top: where to look.
        last: by sequence, the last labelled frame.
        rule: the reader's `image_base`, for images in archives.
        declared: what the user says the base is.
        camera: whose pictures; the landmarks are the left one's.
        within: where extracted images are looked for, relative to `top`; None for all of it.

    Raises:
        DataError: two files of one subject, a broken archive, numbers that cannot be told, or
            extracted images of the other camera.
    """
    _check_images(top, last, camera, within)
    walked = tree.walk(top, lambda _: False)
    folders = [(folder, files) for folder, files in walked if files is not None]

    def of_video(path: Path) -> SequenceId | None:
        match = _VIDEO.fullmatch(path.stem)
        return (match[2].upper(), "") if match and match[1].lower() == camera else None

    def of_folders(names: Iterable[str]) -> SequenceId | None:
        names = [*names]
        return sequence_of(names) if camera_of(names) in (None, camera) else None

    videos = by_sequence(tree.named(folders, DATASET_VIDEO_SUFFIXES), of_video, last, "videos")
    zips = [
        path
        for path in tree.named(folders, (".zip",))
        if camera_of(path.relative_to(top).parts) in (None, camera)
    ]
    pictures = {
        sequence: archive
        for sequence, archive in archives.find(zips, last, of_folders, rule, declared).items()
        if camera_of(next(iter(archive.members.values())).split("/")) in (None, camera)
    }
    if camera == "right":
        found = Found(pictures, videos, {}, camera, without_landmarks=_OTHER_CAMERA)
    else:
        landmarks, notes = _landmarks(folders, last, declared)
        found = Found(pictures, videos, landmarks, camera, tuple(notes))
    return assemble(top, last, found)


def sequence_of(folders: Iterable[str]) -> SequenceId | None:
    """Return the subject of images in folders: what the innermost that names one says."""
    names = map(images.sequence_name, reversed([*folders]))
    subject = next(filter(_SUBJECT.fullmatch, names), None)
    return None if subject is None else (subject, "")


def camera_of(names: Iterable[str]) -> str | None:
    """Return the camera, left or right, that names say, the innermost first; None if none does.

    Args:
        names: of folders and at last perhaps of a file, the outermost first:
            Frames_RightCamera, SN001.
    """
    for name in reversed([*names]):
        sides = {side.lower() for side in _SIDE.findall(name)}
        if len(sides) == 1:
            return sides.pop()
    return None


def _check_images(
    top: Path, last: Mapping[SequenceId, int], camera: str, within: Path | None
) -> None:
    """Raise where a subject's extracted images are the other camera's.

    They come before videos, and the landmarks would lie elsewhere than their faces. Where there
    are both cameras' images, reading has asked which to take.
    """
    told: dict[str, dict[str | None, Path]] = {}
    for (subject,), folder in images.places(top, [(subject,) for subject, _ in last], within):
        if (name := images.first_name(folder)) is not None:
            names = [*Path(os.path.relpath(folder, top)).parts, name]
            told.setdefault(subject, {})[camera_of(names)] = folder
    other = "right" if camera == "left" else "left"
    subject = next((subject for subject, cameras in told.items() if [*cameras] == [other]), None)
    if subject is not None:
        crop = "crop with --camera right and a detector" if other == "right" else "--camera left"
        raise DataError(
            f"The images of {subject} are the {other} camera's, as their folder or name says, "
            f"and the {camera} camera's are asked for.",
            where=told[subject][other],
            hint=f"{crop}; or name the folder of the {camera} camera's images: --images FOLDER",
        )


def _landmarks(
    folders: list[tuple[Path, list[str]]], last: Mapping[SequenceId, int], declared: int | None
) -> tuple[dict[SequenceId, LandmarkFiles], list[str]]:
    texts = filter(jaa_text.is_landmarks, tree.named(folders, ("land.txt",)))
    lists, notes = jaa_text.find(
        texts, last, sequence_of, lambda listed: _text_base(listed, last, declared)
    )
    matrices: dict[SequenceId, LandmarkFiles] = {}
    for folder, files in folders:
        for sequence, by_number in _matrices(folder, files).items():
            if sequence not in last:
                continue
            if sequence in matrices:
                raise DataError(
                    f"{sequence[0]} has landmarks in two folders: {matrices[sequence].path} and "
                    f"{folder}.",
                    where=folder,
                    hint="keep the one that belongs to the release",
                )
            base, how = _matrix_base(by_number, last[sequence])
            places = {number + 1 - base: name for number, name in by_number.items()}
            matrices[sequence] = LandmarkFiles("disfa-mat", 66, folder, places)
            if how:
                notes.append(f"{sequence[0]}: {how}")
    if matrices.keys() & lists.keys():
        notes.append("landmarks are there as .mat and as text: the .mat are taken")
    return {**lists, **matrices}, notes


def _text_base(
    listed: Mapping[SequenceId, Listing], last: Mapping[SequenceId, int], declared: int | None
) -> int:
    """Return the number that lists give label frame 1's image.

    Lists leave out frames without landmarks, the first or the last among them; so the subjects
    that have both ends decide for all. What is declared is about the images that are there,
    which may be numbered otherwise than the listed ones, and counts where nothing decides.
    """
    whole = {
        sequence: listing
        for sequence, listing in listed.items()
        if (int(listing.numbers[0]), last[sequence] in listing.numbers) in ((0, False), (1, True))
    }
    base, _ = find_base(whole, last, None) if whole else find_base(listed, last, declared)
    return base or 0


def _matrices(folder: Path, files: list[str]) -> dict[SequenceId, dict[int, str]]:
    """Return the landmark files in a folder by subject and number, numbers rising."""
    found: dict[SequenceId, dict[int, str]] = {}
    beside = sequence_of(folder.parts)
    for name in files:
        match = _MATRIX.fullmatch(name)
        if match is None:
            continue
        own = (match[1][:-1].upper(), "") if len(match[1]) > 1 else beside
        if own is None:
            raise DataError(
                f"{name} does not say whose landmarks it has.",
                where=folder / name,
                hint="it belongs in the folder of a subject: Landmark_Points/SN031/tmp_frame_lm",
            )
        if beside not in (None, own):
            raise DataError(
                f"{name} lies in the folder of {beside[0]}: it is another subject's.",
                where=folder / name,
                hint="compare with the original release; move it where it belongs",
            )
        by_number = found.setdefault(own, {})
        if (number := int(match[2])) in by_number:
            raise DataError(
                f"{by_number[number]} and {name} are both landmarks {number} of {own[0]}.",
                where=folder / name,
                hint="keep the one that belongs to the release",
            )
        by_number[number] = name
    return {sequence: dict(sorted(by_number.items())) for sequence, by_number in found.items()}


def _matrix_base(by_number: Mapping[int, str], last: int) -> tuple[int, str]:
    """Return the number of label frame 1's file, and a note where that is not certain.

    The release counts from 0. Public code does not agree about the names that begin with l.
    """
    first = next(iter(by_number))
    if not any(name[0] in "lL" for name in by_number.values()) or first == 0:
        return 0, ""
    if first == 1 and last in by_number:
        return 1, "its landmark files count from 1, as the first and the last of them show"
    return 0, "its landmark files are taken to count from 0, as other subjects' do"
