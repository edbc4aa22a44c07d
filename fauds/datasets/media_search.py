"""What was found of every sequence, put together: its files, their digest, and it all in words."""

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
    printable,
    spoken,
)
from fauds.datasets.subjects import shortened
from fauds.errors import DataError

DATASET_VIDEO_SUFFIXES = (".avi", ".mp4", ".mpg", ".mov", ".mkv")


@dataclass(frozen=True)
class Found:
    """What a distribution holds beside labels and image folders, by sequence.

    Attributes:
        camera: what the note on videos says of them; empty where a dataset has one camera.
        landmark_notes: what else there is to say of landmarks, a line each.
        without_landmarks: what there is to say where no sequence has any.
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
    """Return the file of every wanted sequence that has one.

    Args:
        paths: in any order.
        sequence_of: the sequence that a file's name says.
        wanted: others are left out.
        what: what two files of one sequence both are ("videos"), for the error.

    Raises:
        DataError: two files of one sequence.
    """
    found: dict[SequenceId, Path] = {}
    for path in paths:
        sequence = sequence_of(path)
        if sequence is None or sequence not in wanted:
            continue
        if sequence in found:
            raise DataError(
                f"{found[sequence]} and {path} are both {what} of {spoken(sequence)}.",
                where=path,
                hint="keep the one that belongs to the release",
            )
        found[sequence] = path
    return found


def assemble(top: Path, wanted: Collection[SequenceId], found: Found) -> Footage:
    """Return the sources of the wanted sequences, in natural order, and the notes.

    Args:
        top: what the names in digests and notes are relative to.
        wanted: the sequences that were asked for; each gets a source.
        found: what there is.
    """
    order = sorted(wanted, key=lambda sequence: sequence_key(*sequence))
    sources = {sequence: _source(top, sequence, found) for sequence in order}
    return Footage(sources, tuple(_notes(top, sources, found)))


def _source(top: Path, sequence: SequenceId, found: Found) -> Source:
    archive, video = found.archives.get(sequence), found.videos.get(sequence)
    landmarks = found.landmarks.get(sequence)
    folders = [(p.parent, [p.name]) for p in (archive and archive.path, video) if p]
    if landmarks is not None:
        folders.append(_files_of(landmarks))
    # The same files mean something else where their numbers count from another base.
    numbered = (archive.members if archive else {}, landmarks.places if landmarks else {})
    firsts = [next(iter(names.items()), None) for names in numbered]
    return Source(archive, video, landmarks, _digest(top, folders, firsts))


def _files_of(landmarks: LandmarkFiles) -> tuple[Path, list[str]]:
    """Return a folder and the names of those of its files that landmarks are read from."""
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


def _notes(top: Path, sources: Mapping[SequenceId, Source], found: Found) -> list[str]:
    lines = []
    archives = {s: source.archive.path for s, source in sources.items() if source.archive}
    if archives:
        images = sum(len(archive.members) for archive in found.archives.values())
        what = f"archives: {len(set(archives.values()))} with {images:,} images for"
        lines.append(_coverage(what, archives, sources, top))
    if found.videos:
        videos = _coverage("videos:", found.videos, sources, top)
        lines.append(f"{videos}, camera {found.camera}" if found.camera else videos)
    return [*lines, *_landmark_notes(top, sources, found), *found.landmark_notes]


def _landmark_notes(top: Path, sources: Mapping[SequenceId, Source], found: Found) -> list[str]:
    forms: dict[tuple[str, int], dict[SequenceId, Path]] = {}
    for sequence, source in sources.items():
        if source.landmarks is not None:
            form = source.landmarks.form, source.landmarks.points
            folder, names = _files_of(source.landmarks)
            forms.setdefault(form, {})[sequence] = folder / names[0]
    if not forms:
        return [found.without_landmarks]
    lines = [
        _coverage(f"landmarks: {points} points for", paths, sources, top)
        for (_, points), paths in forms.items()
    ]
    without = [spoken(sequence) for sequence, source in sources.items() if not source.landmarks]
    return [*lines, f"no landmarks of {shortened(without)}"] if without else lines


def _coverage(
    what: str, paths: Mapping[SequenceId, Path], sources: Mapping[SequenceId, Source], top: Path
) -> str:
    first = next(paths[sequence] for sequence in sources if sequence in paths)
    place = printable(os.path.relpath(first, top))
    several = ", ..." if len(set(paths.values())) > 1 else ""
    return f"{what} {len(paths)} of {len(sources)} sequences ({place}{several})"
