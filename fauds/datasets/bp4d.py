"""BP4D-Spontaneous: occurrence and intensity codes to the frames table.

The release's layout (Zhang et al., BP4D-Spontaneous, Image and Vision Computing 2014, as its
users' public code reads it)::

    AUCoding/AU_OCC/F001_T1.csv             header 0,1,2,..,99; a row a coded frame; 9 = not coded
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv   frame,intensity without a header; 9 = not coded
    <any folders>/F001/T1/2440.jpg          the frames, numbered as in the labels

The FERA 2015 release has the occurrence files in AUCoding/ itself and the intensities in
"AU Intensity Codes3.0" beside it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fauds import store
from fauds.datasets import images, locate, text
from fauds.datasets.base import (
    CodedSequence,
    Labels,
    Reading,
    ReadOptions,
    frames_table,
    read_marker,
)
from fauds.datasets.bp4d_files import Key, Release, find
from fauds.datasets.subjects import differences
from fauds.datasets.text import MISSING, Block, Columns, LabelFile
from fauds.errors import UsageError
from fauds.facs import AUS, au_number

_INTENSITY_COLUMNS = Columns(2, 0, (1,), 0, frozenset({0, 1, 2, 3, 4, 5, MISSING}))


class Bp4dReader:
    """Reads BP4D-Spontaneous; see `fauds.datasets.base.Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return occurrence files, then intensity files, each in natural order.

        Raises:
            DataError: there are none; the layout that was looked for is named.
        """
        return find(root, options or ReadOptions()).paths()

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return the digest of label files by content and images by name, size and time."""
        options = options or ReadOptions()
        release = find(root, options)
        folders = images.find(release.image_root, release.occurrence, options.images)
        return _fingerprint(text.load(release.paths(), release.labels.parent), folders)

    def image_base(
        self,
        folders: Mapping[images.Key, images.ImageFolder],
        last: Mapping[images.Key, int],
        declared: int | None,
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image, and how it is known: BP4D's is 1."""
        if not folders:
            return None, ""
        return (1, "numbered as the labels") if declared is None else (declared, "declared")

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
    ) -> Reading:
        """Read a release, or the part of it that is there.

        Args:
            root: the release, its AUCoding folder, or the folder above where that is unambiguous.
            expected: published counts, see `fauds.datasets.subjects.differences`.
            options: see `ReadOptions`.

        Raises:
            DataError: with file and line, for anything that is not as the release has it.
            UsageError: a table of sexes is given: BP4D's ids carry the sex.
        """
        options = options or ReadOptions()
        if options.sex_table is not None:
            raise UsageError(
                "BP4D needs no table of sexes: its ids begin with F or M.", hint="leave it out"
            )
        release = find(root, options)
        files = text.load(release.paths(), release.labels.parent)
        folders = images.find(release.image_root, release.occurrence, options.images)
        fingerprint = _fingerprint(files, folders)
        labels, notes = _labels(release, {file.path: file for file in files}, options)
        del files
        sequences = [((each.subject, each.task), each.frames) for each in labels.sequences]
        paths, base, how = images.assign(folders, sequences, self.image_base, options.image_base)
        notes += images.notes(folders, base, how, paths.null_count)
        sexes = {sequence.subject: sequence.subject[0] for sequence in labels.sequences}
        return Reading(
            table=frames_table(labels, sexes, paths, options.aus),
            root=release.image_root,
            fingerprint=fingerprint,
            synthetic=read_marker(root, release.image_root, release.labels.parent) is not None,
            image_base=base,
            differences=differences(labels.sequences, expected),
            notes=(*notes, *locate.listed(release.ignored, release.labels.parent)),
        )


BP4D = Bp4dReader()


def _fingerprint(
    files: Sequence[LabelFile], folders: Mapping[images.Key, images.ImageFolder]
) -> str:
    return store.fingerprint("bp4d", text.fingerprint(files), images.fingerprint(folders))


def _labels(
    release: Release, files: Mapping[Path, LabelFile], options: ReadOptions
) -> tuple[Labels, list[str]]:
    blocks = _occurrence([files[path] for path in release.occurrence.values()], options)
    sequences = [
        CodedSequence(*key, block.frames)
        for key, (_, block) in zip(release.occurrence, blocks, strict=True)
    ]
    ends = np.cumsum([len(sequence.frames) for sequence in sequences]).tolist()
    aus = {*options.aus, *(au for header, _ in blocks for au in header)}
    occurrence = {au: np.full(ends[-1], MISSING, np.int8) for au in aus}
    for (header, block), end in zip(blocks, ends, strict=True):
        for au, values in zip(header, block.values, strict=True):
            occurrence[au][end - len(values) : end] = values
    intensity = _intensity(release, files, sequences)
    notes = [f"labels: {len(sequences)} occurrence files, {ends[-1]:,} coded frames"]
    if intensity:
        lacking = {au: int((values == MISSING).sum()) for au, values in intensity.items()}
        counts = ", ".join(f"{au} {count:,}" for au, count in lacking.items())
        notes.append(f"coded frames without intensity: {counts}")
    return Labels(sequences, occurrence, intensity), notes


def _intensity(
    release: Release, files: Mapping[Path, LabelFile], sequences: Sequence[CodedSequence]
) -> dict[str, np.ndarray]:
    """Return the intensity of every coded frame by AU, int8 [all frames]."""
    by_au = {au: paths for au, paths in release.intensity.items() if paths}
    wanted = [files[path] for paths in by_au.values() for path in paths.values()]
    parsed = iter(text.parse(wanted, _INTENSITY_COLUMNS))
    return {
        au: _joined(sequences, {key: next(parsed) for key in paths}) for au, paths in by_au.items()
    }


def _occurrence(
    files: Sequence[LabelFile], options: ReadOptions
) -> list[tuple[tuple[str, ...], Block]]:
    """Return the AUs and numbers of each file; files with the same header are parsed together."""
    groups: dict[bytes, list[int]] = {}
    for index, file in enumerate(files):
        groups.setdefault(text.header(file), []).append(index)
    found: dict[int, tuple[tuple[str, ...], Block]] = {}
    for members in groups.values():
        aus, columns = _columns(files[members[0]], options)
        blocks = text.parse([files[index] for index in members], columns)
        found |= {i: (aus, block) for i, block in zip(members, blocks, strict=True)}
    return [found[index] for index in range(len(files))]


def _columns(file: LabelFile, options: ReadOptions) -> tuple[tuple[str, ...], Columns]:
    """Read a header: the AUs that fauds knows, and where everything is.

    The header counts, never the position: releases with fewer columns number them alike.
    """
    cells = text.header_cells(file)
    numbers = [_header_number(cell) for cell in cells]
    if None in numbers or 0 not in numbers or len(set(numbers)) != len(numbers):
        raise text.bad(
            "The first line is not a header: it should hold 0 (the frame number) and AU numbers, "
            f"each once, but begins with {','.join(cells[:5])[:60]!r}.",
            file.path,
            1,
        )
    positions = {f"AU{n:02d}": at for at, n in enumerate(numbers) if f"AU{n:02d}" in AUS}
    for au in options.aus if options.missing_aus == "error" else ():
        if au not in positions:
            raise text.bad(f"The header has no column {au_number(au)} ({au}).", file.path, 1)
    if not positions:
        raise text.bad("The header names no action unit.", file.path, 1)
    allowed = frozenset({0, 1, MISSING})
    columns = Columns(len(cells), numbers.index(0), tuple(positions.values()), 1, allowed)
    return tuple(positions), columns


@cache
def _header_number(cell: str) -> int | None:
    match = re.fullmatch(r"(?:AU[ _-]?)?(\d{1,2})", cell, re.IGNORECASE | re.ASCII)
    return 0 if cell.lower() == "frame" else int(match[1]) if match else None


def _joined(sequences: Sequence[CodedSequence], coded: Mapping[Key, Block]) -> np.ndarray:
    """Give every coded frame its intensity, int8 [all frames]; MISSING where there is none."""
    parts = []
    for sequence in sequences:
        values = np.full(len(sequence.frames), MISSING, np.int8)
        block = coded.get((sequence.subject, sequence.task))
        if block is not None and np.array_equal(block.frames, sequence.frames):
            values = block.values[0]
        elif block is not None:
            at = np.searchsorted(block.frames, sequence.frames).clip(max=len(block.frames) - 1)
            there = block.frames[at] == sequence.frames
            values[there] = block.values[0][at[there]]
        parts.append(values)
    return np.concatenate(parts)
