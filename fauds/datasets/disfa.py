"""DISFA: intensity codes to the frames table.

The release's layout (Mavadati et al., DISFA, IEEE Transactions on Affective Computing 2013, as
its users' public code reads it)::

    ActionUnit_Labels/SN001/SN001_au1.txt   frame,intensity (0 to 5) without a header, from frame 1
    <any folders>/SN001/0001.png            extracted frames, numbered from 0 or from 1
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds.datasets import archives, jaa_text, locate, tree
from fauds.datasets import image_folders as images
from fauds.datasets import label_text as text
from fauds.datasets.base import FramesSink, Reading, ReadOptions, natural, read_marker
from fauds.datasets.frames_table import CodedSequence, LabelPart, Parts
from fauds.datasets.image_folders import FolderKey, Listing
from fauds.datasets.label_files import Digests, LabelFile
from fauds.datasets.label_text import MISSING, Block, LabelLayout
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId
from fauds.datasets.media_search import DATASET_VIDEO_SUFFIXES, Found, assemble, by_sequence
from fauds.datasets.numbering import BaseRule, Numbering, find_base
from fauds.datasets.subjects import chosen_subjects, differences, read_sexes, shortened
from fauds.errors import DataError, UsageError
from fauds.facs import AUS, au_number
from fauds.tables import store

DISFA_LAYOUT = "ActionUnit_Labels/SN001/SN001_au1.txt"

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"(SN\d{3})_au0*(\d+)\.txt", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class DisfaLabelFiles:
    """The files of a release: by subject, then by AU; of the subjects that are to be read.

    Attributes:
        everyone: the subjects that there are labels of, whether they are to be read or not.
    """

    labels: Path
    image_root: Path
    files: dict[str, dict[str, Path]]
    everyone: list[str]
    ignored: list[Path]

    def paths(self) -> list[Path]:
        """Return all files, by subject and AU."""
        return [path for by_au in self.files.values() for path in by_au.values()]

    def aus(self) -> set[str]:
        """Return the AUs that any subject has a file of."""
        return {au for by_au in self.files.values() for au in by_au}

    def keys(self) -> list[FolderKey]:
        """Return what the folders of images are called, by subject."""
        return [(subject,) for subject in self.files]


def find_label_files(root: Path, options: ReadOptions) -> DisfaLabelFiles:
    """Find the label files of a release, or of the part of it that is there or asked for.

    Raises:
        DataError: there are none, a subject's folder holds none, another subject's lie in it, or
            two files are of one AU.
    """
    labels = locate.label_folder(root, "ActionUnit_Labels", DISFA_LAYOUT)
    read_marker(root, labels.parent)
    found: dict[str, dict[str, Path]] = {}
    ignored: list[Path] = []
    for folder in locate.subfolders(labels):
        if _SUBJECT.fullmatch(folder.name) is None:
            ignored.append(folder)
        else:
            found[folder.name.upper()] = _subject_files(folder, ignored)
    if not found:
        there = shortened([path.name for path in locate.entries(labels)])
        raise DataError(
            f"There are no labels here: looked for {DISFA_LAYOUT}; there is {there}.",
            where=labels,
            hint="extract the release's ActionUnit_Labels archive here, or point --root elsewhere",
        )
    chosen = chosen_subjects(list(found), options, labels)
    everyone = sorted(found, key=natural)
    files = {subject: found[subject] for subject in chosen}
    return DisfaLabelFiles(labels, locate.image_root(root, labels), files, everyone, ignored)


def _subject_files(folder: Path, ignored: list[Path]) -> dict[str, Path]:
    """Return a subject's label files by AU, in FACS order."""
    found: dict[str, Path] = {}
    for path in locate.files(folder, ".txt"):
        match = _NAME.fullmatch(path.name)
        au = f"AU{int(match[2]):02d}" if match else ""
        if match is None or au not in AUS:
            ignored.append(path)
            continue
        if match[1].upper() != folder.name.upper():
            raise DataError(
                f"{path.name} lies in the folder {folder.name}: it is another subject's.",
                where=path,
                hint="compare with the original release; move it where it belongs",
            )
        if au in found:
            raise DataError(
                f"{found[au].name} and {path.name} are both labels of {au}.",
                where=path,
                hint="keep the one that belongs to the release",
            )
        found[au] = path
    if not found:
        raise DataError(
            "The folder of this subject holds no labels.",
            where=folder,
            hint=f"copy {DISFA_LAYOUT} and the others from the release, or remove the folder",
        )
    return dict(sorted(found.items()))


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
        sides: set[str] = {side.lower() for side in _SIDE.findall(name)}
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
    wrong = next((subject for subject, cameras in told.items() if [*cameras] == [other]), None)
    if wrong is not None:
        crop = "crop with --camera right and a detector" if other == "right" else "--camera left"
        raise DataError(
            f"The images of {wrong} are the {other} camera's, as their folder or name says, "
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
        folders: Mapping[images.Key, images.Listing],
        last: Mapping[images.Key, int],
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
        return find_media(top, last, self.image_base, image_base, camera, images)

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
