"""DISFA: intensity codes to the frames table.

The release's layout (Mavadati et al., DISFA, IEEE Transactions on Affective Computing 2013, as
its users' public code reads it)::

    ActionUnit_Labels/SN001/SN001_au1.txt   frame,intensity (0 to 5) without a header, from frame 1
    <any folders>/SN001/0001.png            extracted frames, numbered from 0 or from 1
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds import store
from fauds.datasets import disfa_footage, images, locate, text
from fauds.datasets.base import FramesSink, Reading, ReadOptions, natural, read_marker
from fauds.datasets.disfa_files import DISFA_LAYOUT, DisfaLabelFiles, find_label_files
from fauds.datasets.footage import Footage
from fauds.datasets.labelfiles import Digests, LabelFile
from fauds.datasets.numbering import Numbering, find_base
from fauds.datasets.parts import CodedSequence, LabelPart, Parts
from fauds.datasets.subjects import differences, read_sexes, shortened
from fauds.datasets.text import MISSING, Block, LabelLayout
from fauds.errors import DataError, UsageError
from fauds.facs import au_number

CODED_AUS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
"""The AUs that the release codes for every subject."""

_COLUMNS = LabelLayout(2, 0, (1,), 0, frozenset(range(6)))


class DisfaReader:
    """Reads DISFA; see `fauds.datasets.base.Reader`. A subject is one sequence, its task empty."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the label files in natural order of subject and AU.

        Raises:
            DataError: there are none; the layout that was looked for is named.
        """
        return find_label_files(root, options or ReadOptions()).paths()

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return the digest of label files by content and images by name, size and time."""
        options = options or ReadOptions()
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.keys(), options.images)
        _, sex_bytes = _sexes(release, None, options)
        return _fingerprint(release, Digests(release.labels.parent), folders, sex_bytes)

    def image_base(
        self,
        folders: Mapping[images.FolderKey, images.Listing],
        last: Mapping[images.FolderKey, int],
        declared: int | None,
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image, and how it is known; see `find_base`."""
        return find_base(folders, last, declared)

    @locate.os_errors()
    def footage(
        self,
        root: Path,
        last: Mapping[tuple[str, str], int],
        *,
        camera: Literal["left", "right"] = "left",
        image_base: int | None = None,
        images: Path | None = None,
    ) -> Footage:
        """Find what the subjects can be cropped from; the landmarks are the left camera's.

        Raises:
            DataError: besides, extracted images are the other camera's, as folders or names say.
        """
        top = locate.image_root(root, locate.label_folder(root, "ActionUnit_Labels", DISFA_LAYOUT))
        return disfa_footage.find_media(top, last, self.image_base, image_base, camera, images)

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
            root: the release, its ActionUnit_Labels folder, or the folder above where that is
                unambiguous.
            expected: published counts, see `fauds.datasets.subjects.differences`.
            options: see `ReadOptions`; `occurrence_at` makes occurrence from intensity.
            sink: see `fauds.datasets.base.Reader`.

        Raises:
            DataError: with file and line, for anything that is not as the release has it; an
                absent AU file; images whose numbering cannot be told.
            UsageError: there is no threshold of occurrence.
        """
        options = options or ReadOptions()
        if options.occurrence_at is None:
            raise UsageError(
                "DISFA codes intensity: occurrence needs a threshold.", hint="2 is usual"
            )
        release = find_label_files(root, options)
        aus = sorted({*CODED_AUS, *options.aus, *release.aus()})
        if options.missing_aus == "error":
            _check_complete(release, aus)
        folders = images.find(release.image_root, release.keys(), options.images)
        sexes, sex_bytes = _sexes(release, expected, options)
        digests = Digests(release.labels.parent)
        numbering = Numbering(folders, self.image_base, options.image_base)
        parts = Parts(sink, numbering)
        for group in digests.groups(release.files.items()):
            parts.add(_labels(group, aus, options.occurrence_at), sexes)
        return Reading(
            root=release.image_root,
            fingerprint=_fingerprint(release, digests, folders, sex_bytes),
            synthetic=read_marker(root, release.image_root, release.labels.parent) is not None,
            image_base=numbering.base,
            differences=differences(parts.counts, expected),
            notes=(
                *_label_notes(release, parts, aus, options),
                *images.notes(folders, numbering.base, numbering.how, parts.without_image),
                *locate.listed(release.ignored, release.labels.parent),
            ),
        )


DISFA = DisfaReader()


def _sexes(
    release: DisfaLabelFiles, expected: Mapping[str, Any] | None, options: ReadOptions
) -> tuple[dict[str, str | None], bytes]:
    if options.sex_table is None:
        return {}, b""
    # A table of all subjects may be given for a part of the release.
    published = (expected or {}).get("frames_per_subject") or {}
    return read_sexes(options.sex_table, sorted({*release.everyone, *published}, key=natural))


def _fingerprint(
    release: DisfaLabelFiles,
    digests: Digests,
    folders: Mapping[images.FolderKey, images.ImageFolder],
    sex_bytes: bytes,
) -> str:
    labels = digests.fingerprint(release.paths())
    return store.fingerprint("disfa", labels, images.fingerprint(folders), sex_bytes)


def _labels(
    group: Sequence[tuple[str, Mapping[str, LabelFile]]], aus: Sequence[str], occurrence_at: int
) -> LabelPart:
    parsed = iter(text.parse([file for _, files in group for file in files.values()], _COLUMNS))
    blocks = [{au: next(parsed) for au in files} for _, files in group]
    for (_, files), by_au in zip(group, blocks, strict=True):
        _check_agreement(by_au, files)
    frames = [next(iter(by_au.values())).frames for by_au in blocks]
    intensity = {au: np.concatenate([*_coded(blocks, frames, au)]) for au in aus}
    return LabelPart(
        [CodedSequence(subject, "", f) for (subject, _), f in zip(group, frames, strict=True)],
        {au: _occurs(values, occurrence_at) for au, values in intensity.items()},
        intensity,
    )


def _coded(
    blocks: Sequence[Mapping[str, Block]], frames: Sequence[np.ndarray], au: str
) -> Iterator[np.ndarray]:
    """Yield each subject's intensities of an AU, int8; MISSING where it has no file."""
    for by_au, labelled in zip(blocks, frames, strict=True):
        yield by_au[au].values[0] if au in by_au else np.full(len(labelled), MISSING, np.int8)


def _occurs(intensity: np.ndarray, occurrence_at: int) -> np.ndarray:
    occurs = (intensity >= occurrence_at).astype(np.int8)
    return np.where(intensity == MISSING, intensity, occurs)


def _check_complete(release: DisfaLabelFiles, aus: Sequence[str]) -> None:
    for subject, by_au in release.files.items():
        for au in aus:
            if au not in by_au:
                raise DataError(
                    f"The labels of {au} of subject {subject} are absent.",
                    where=release.labels / subject / f"{subject}_au{au_number(au)}.txt",
                    hint="copy the file from the release, or take absent AUs as not coded "
                    "(--missing-aus null); they are never taken as 0",
                )


def _check_agreement(by_au: Mapping[str, Block], files: Mapping[str, LabelFile]) -> None:
    """Raise where the files of a subject do not label the same frames."""
    (first_au, first), *others = by_au.items()
    for au, block in others:
        if np.array_equal(first.frames, block.frames):
            continue
        only = np.setxor1d(first.frames, block.frames, assume_unique=True)[0]
        has, lacks = (first_au, au) if only in first.frames else (au, first_au)
        raise DataError(
            f"Frame {only} is labelled in {files[has].path.name} and not in "
            f"{files[lacks].path.name} "
            f"({len(by_au[has].frames):,} and {len(by_au[lacks].frames):,} frames).",
            where=files[lacks].path,
            hint="compare it with the original release; copy or extract it again",
        )


def _label_notes(
    release: DisfaLabelFiles, parts: Parts, aus: Sequence[str], options: ReadOptions
) -> list[str]:
    notes = [
        f"labels: {len(release.paths())} files of {len(parts.counts)} subjects, "
        f"{parts.rows:,} coded frames",
        f"occurrence: intensity >= {options.occurrence_at}",
    ]
    for au in aus:
        lacking = [subject for subject, by_au in release.files.items() if au not in by_au]
        if lacking:
            notes.append(f"{au} is not coded (null) for {shortened(lacking)}")
    return notes
