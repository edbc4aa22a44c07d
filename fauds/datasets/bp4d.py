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
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds import store
from fauds.datasets import bp4d_footage, images, labelfiles, locate, text
from fauds.datasets.base import FramesSink, Reading, ReadOptions, read_marker
from fauds.datasets.bp4d_files import (
    BP4D_LAYOUT,
    OCCURRENCE_COLUMNS,
    Bp4dLabelFiles,
    SequenceName,
    find_label_files,
)
from fauds.datasets.footage import Footage
from fauds.datasets.labelfiles import Digests, LabelFile
from fauds.datasets.numbering import Numbering
from fauds.datasets.parts import CodedSequence, LabelPart, Parts
from fauds.datasets.subjects import differences
from fauds.datasets.text import MISSING, Block, LabelLayout
from fauds.errors import UsageError
from fauds.facs import AUS, au_number

_INTENSITY_COLUMNS = LabelLayout(2, 0, (1,), 0, frozenset({0, 1, 2, 3, 4, 5, MISSING}))


class Bp4dReader:
    """Reads BP4D-Spontaneous; see `fauds.datasets.base.Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return occurrence files, then intensity files, each in natural order.

        Raises:
            DataError: there are none; the layout that was looked for is named.
        """
        return find_label_files(root, options or ReadOptions()).paths()

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return the digest of label files by content and images by name, size and time."""
        options = options or ReadOptions()
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.occurrence, options.images)
        return _fingerprint(release, Digests(release.labels.parent), folders)

    def image_base(
        self,
        folders: Mapping[images.FolderKey, images.Listing],
        last: Mapping[images.FolderKey, int],
        declared: int | None,
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image, and how it is known: BP4D's is 1."""
        if not folders:
            return None, ""
        return (1, "numbered as the labels") if declared is None else (declared, "declared")

    @locate.os_errors()
    def footage(
        self,
        root: Path,
        last: Mapping[SequenceName, int],
        *,
        camera: Literal["left", "right"] = "left",
        image_base: int | None = None,
        images: Path | None = None,
    ) -> Footage:
        """Find what the sequences can be cropped from; BP4D's colour videos have one camera."""
        top = locate.image_root(root, locate.label_folder(root, "AUCoding", BP4D_LAYOUT))
        return bp4d_footage.find_media(top, last, self.image_base, image_base)

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read a release, or the part of it that is there.

        Args:
            root: the release, its AUCoding folder, or the folder above where that is unambiguous.
            expected: published counts, see `fauds.datasets.subjects.differences`.
            options: see `ReadOptions`.
            sink: see `fauds.datasets.base.Reader`.

        Raises:
            DataError: with file and line, for anything that is not as the release has it.
            UsageError: a table of sexes is given: BP4D's ids carry the sex.
        """
        options = options or ReadOptions()
        if options.sex_table is not None:
            raise UsageError(
                "BP4D needs no table of sexes: its ids begin with F or M.", hint="leave it out"
            )
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.occurrence, options.images)
        occurrence_aus = _occurrence_aus(release, options)
        digests = Digests(release.labels.parent)
        numbering = Numbering(folders, self.image_base, options.image_base)
        parts = Parts(sink, numbering)
        lacking: Counter[str] = Counter()
        for group in digests.groups(release.sequences()):
            labels = _labels(group, occurrence_aus, release.intensity_aus(), options)
            lacking.update({au: int((v == MISSING).sum()) for au, v in labels.intensity.items()})
            parts.add(labels, {subject: subject[0] for (subject, _), _ in group})
        return Reading(
            root=release.image_root,
            fingerprint=_fingerprint(release, digests, folders),
            synthetic=read_marker(root, release.image_root, release.labels.parent) is not None,
            image_base=numbering.base,
            differences=differences(parts.counts, expected),
            notes=(
                *_label_notes(parts, lacking),
                *images.notes(folders, numbering.base, numbering.how, parts.without_image),
                *locate.listed(release.ignored, release.labels.parent),
            ),
        )


BP4D = Bp4dReader()


def _fingerprint(
    release: Bp4dLabelFiles,
    digests: Digests,
    folders: Mapping[images.FolderKey, images.ImageFolder],
) -> str:
    labels = digests.fingerprint(release.paths())
    return store.fingerprint("bp4d", labels, images.fingerprint(folders))


def _occurrence_aus(release: Bp4dLabelFiles, options: ReadOptions) -> list[str]:
    """Return the AUs that any occurrence file has a column for, or that are asked for."""
    aus = set(options.aus)
    seen: set[bytes] = set()
    for path in release.occurrence.values():
        first_line = labelfiles.load_first_line(path, release.labels.parent)
        if (head := text.header(first_line)) not in seen:
            seen.add(head)
            aus.update(_columns(first_line, options)[0])
    return sorted(aus)


def _labels(
    group: Sequence[tuple[SequenceName, Mapping[str, LabelFile]]],
    occurrence_aus: Sequence[str],
    intensity_aus: Sequence[str],
    options: ReadOptions,
) -> LabelPart:
    blocks = _occurrence([files[OCCURRENCE_COLUMNS] for _, files in group], options)
    sequences = [
        CodedSequence(*key, block.frames)
        for (key, _), (_, block) in zip(group, blocks, strict=True)
    ]
    ends = np.cumsum([len(sequence.frames) for sequence in sequences]).tolist()
    occurrence = {au: np.full(ends[-1], MISSING, np.int8) for au in occurrence_aus}
    for (header, block), end in zip(blocks, ends, strict=True):
        for au, values in zip(header, block.values, strict=True):
            occurrence[au][end - len(values) : end] = values
    return LabelPart(sequences, occurrence, _intensity(group, sequences, intensity_aus))


def _intensity(
    group: Sequence[tuple[SequenceName, Mapping[str, LabelFile]]],
    sequences: Sequence[CodedSequence],
    aus: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return the intensity of every coded frame by AU, int8 [all frames]."""
    wanted = [(au, index) for au in aus for index, (_, files) in enumerate(group) if au in files]
    blocks = text.parse([group[index][1][au] for au, index in wanted], _INTENSITY_COLUMNS)
    parsed = dict(zip(wanted, blocks, strict=True))
    return {
        au: np.concatenate(
            [_aligned(each.frames, parsed.get((au, n))) for n, each in enumerate(sequences)]
        )
        for au in aus
    }


def _label_notes(parts: Parts, lacking: Mapping[str, int]) -> list[str]:
    notes = [f"labels: {len(parts.counts)} occurrence files, {parts.rows:,} coded frames"]
    if lacking:
        counts = ", ".join(f"{au} {count:,}" for au, count in lacking.items())
        notes.append(f"coded frames without intensity: {counts}")
    return notes


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


def _columns(file: LabelFile, options: ReadOptions) -> tuple[tuple[str, ...], LabelLayout]:
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
    columns = LabelLayout(len(cells), numbers.index(0), tuple(positions.values()), 1, allowed)
    return tuple(positions), columns


@cache
def _header_number(cell: str) -> int | None:
    match = re.fullmatch(r"(?:AU[ _-]?)?(\d{1,2})", cell, re.IGNORECASE | re.ASCII)
    return 0 if cell.lower() == "frame" else int(match[1]) if match else None


def _aligned(frames: np.ndarray, block: Block | None) -> np.ndarray:
    """Return the intensity of coded frames, int8 [frames]; MISSING where there is none."""
    if block is not None and np.array_equal(block.frames, frames):
        return block.values[0]
    values = np.full(len(frames), MISSING, np.int8)
    if block is not None:
        at = np.searchsorted(block.frames, frames).clip(max=len(block.frames) - 1)
        there = block.frames[at] == frames
        values[there] = block.values[0][at[there]]
    return values
