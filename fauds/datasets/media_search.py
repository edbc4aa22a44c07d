"""Sorting the zip files, videos and landmarks found in a dataset by sequence (subject and task)."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fauds.datasets.base import sequence_key
from fauds.datasets.jaa_text import path_file
from fauds.datasets.media_files import (
    Archive,
    Footage,
    LandmarkFiles,
    SequenceId,
    Source,
    display_name,
    printable,
)
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError

DATASET_VIDEO_SUFFIXES = (".avi", ".mp4", ".mpg", ".mov", ".mkv")


@dataclass(frozen=True)
class MediaFiles:
    """The media files found in a dataset, by sequence (subject and task).

    Attributes:
        archives: the zip file of each sequence that has images in a zip file.
        videos: the path of the video of each sequence that has a video.
        landmarks: the landmark files of each sequence that has landmarks.
        camera: the camera to name in the message about videos, "left" or "right"; an empty string
            for datasets with one camera.
        landmark_notes: further messages about landmarks, one line each.
        without_landmarks: the message to use if no sequence has landmarks.
    """

    archives: Mapping[SequenceId, Archive]
    videos: Mapping[SequenceId, Path]
    landmarks: Mapping[SequenceId, LandmarkFiles]
    camera: str = ""
    landmark_notes: tuple[str, ...] = ()
    without_landmarks: str = "landmarks: none found"


def by_sequence(
    paths: Iterable[Path],
    sequence_of: Callable[[Path], SequenceId | None],
    wanted: Collection[SequenceId],
    what: str,
) -> dict[SequenceId, Path]:
    """Return the paths of files by the sequence (subject and task) that they belong to.

    Args:
        paths: the paths of the files, in any order.
        sequence_of: a function that returns the sequence that a file belongs to; None for a file
            that belongs to no sequence, which is left out.
        wanted: the sequences whose files are returned; files of other sequences are left out.
        what: what the files are, in the plural, such as "videos", for the error message.

    Raises:
        DataError: two files belong to the same sequence.
    """
    matches: dict[SequenceId, Path] = {}
    for path in paths:
        sequence = sequence_of(path)
        if sequence is None or sequence not in wanted:
            continue
        if sequence in matches:
            raise DataError(
                f"{matches[sequence]} and {path} are both {what} of {display_name(sequence)}.",
                where=path,
                hint="keep only the file that belongs to the release",
            )
        matches[sequence] = path
    return matches


def collect_sources(top: Path, wanted: Collection[SequenceId], media: MediaFiles) -> Footage:
    """Return the media files of each wanted sequence (subject and task), and messages about them.

    The sequences are sorted by subject and task, with T2 before T10.

    Args:
        top: the folder of the dataset; paths in digests and messages are relative to it.
        wanted: the sequences; the result has an entry for each, even if it has no media files.
        media: the media files found in the dataset.
    """
    order = sorted(wanted, key=lambda sequence: sequence_key(*sequence))
    sources = {sequence: _source(top, sequence, media) for sequence in order}
    return Footage(sources, tuple(_notes(top, sources, media)))


def _source(top: Path, sequence: SequenceId, media: MediaFiles) -> Source:
    archive, video = media.archives.get(sequence), media.videos.get(sequence)
    landmarks = media.landmarks.get(sequence)
    folders = [(p.parent, [p.name]) for p in (archive and archive.path, video) if p]
    if landmarks is not None:
        folders.append(_files_of(landmarks))
    # With another image base, the same files belong to other frames.
    numbered = (archive.members if archive else {}, landmarks.places if landmarks else {})
    firsts = [next(iter(names.items()), None) for names in numbered]
    return Source(archive, video, landmarks, _digest(top, folders, firsts))


def _files_of(landmarks: LandmarkFiles) -> tuple[Path, list[str]]:
    """Return the folder of the landmark files of a sequence, and the names of these files."""
    path = landmarks.path
    if landmarks.form == "disfa-mat":
        return path, [str(name) for name in landmarks.places.values()]
    if landmarks.form == "jaa-text":
        return path.parent, [path.name, path_file(path).name]
    return path.parent, [path.name]


def _digest(top: Path, folders: Iterable[tuple[Path, list[str]]], firsts: Sequence[object]) -> str:
    digest = hashlib.sha256(repr(firsts).encode())
    for folder, names in folders:
        relative = os.path.relpath(folder, top)
        for name in names:
            status = os.stat(os.path.join(folder, name))
            digest.update(os.fsencode(f"{relative}/{name}"))
            digest.update(f"\0{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _notes(top: Path, sources: Mapping[SequenceId, Source], media: MediaFiles) -> list[str]:
    lines = []
    archives = {s: source.archive.path for s, source in sources.items() if source.archive}
    if archives:
        images = sum(len(archive.members) for archive in media.archives.values())
        what = f"archives: {len(set(archives.values()))} with {images:,} images for"
        lines.append(_coverage(what, archives, sources, top))
    if media.videos:
        videos = _coverage("videos:", media.videos, sources, top)
        lines.append(f"{videos}, camera {media.camera}" if media.camera else videos)
    return [*lines, *_landmark_notes(top, sources, media), *media.landmark_notes]


def _landmark_notes(
    top: Path, sources: Mapping[SequenceId, Source], media: MediaFiles
) -> list[str]:
    forms: dict[tuple[str, int], dict[SequenceId, Path]] = {}
    for sequence, source in sources.items():
        if source.landmarks is not None:
            form = source.landmarks.form, source.landmarks.points
            folder, names = _files_of(source.landmarks)
            forms.setdefault(form, {})[sequence] = folder / names[0]
    if not forms:
        return [media.without_landmarks]
    lines = [
        _coverage(f"landmarks: {points} points for", paths, sources, top)
        for (_, points), paths in forms.items()
    ]
    without = [
        display_name(sequence) for sequence, source in sources.items() if not source.landmarks
    ]
    return [*lines, f"no landmarks of {abbreviated(without)}"] if without else lines


def _coverage(
    what: str,
    paths: Mapping[SequenceId, Path],
    sources: Mapping[SequenceId, Source],
    top: Path,
) -> str:
    first = next(paths[sequence] for sequence in sources if sequence in paths)
    place = printable(os.path.relpath(first, top))
    several = ", ..." if len(set(paths.values())) > 1 else ""
    return f"{what} {len(paths)} of {len(sources)} sequences ({place}{several})"
