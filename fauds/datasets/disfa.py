"""The reader of DISFA, which makes the frames table from its AU intensities and images.

The dataset is that of Mavadati et al., DISFA, IEEE Transactions on Affective Computing 2013. Public
code by users of the dataset reads files with this layout::

    ActionUnit_Labels/SN001/SN001_au1.txt   frame,intensity (0 to 5) without a header, from frame 1
    <any folders>/SN001/0001.png            extracted images, numbered from 0 or from 1
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
from fauds.datasets.frames_table import CodedSequence, FramesTableWriter, LabelPart
from fauds.datasets.image_folders import FolderKey, Listing
from fauds.datasets.label_files import LabelFile, LabelFileReader
from fauds.datasets.label_text import MISSING, Block, LabelLayout
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId
from fauds.datasets.media_search import (
    DATASET_VIDEO_SUFFIXES,
    MediaFiles,
    by_sequence,
    collect_sources,
)
from fauds.datasets.numbering import BaseRule, Numbering, find_base
from fauds.datasets.subjects import abbreviated, differences, read_sexes, select_subjects
from fauds.errors import DataError, UsageError
from fauds.facs import AUS, au_number
from fauds.tables import store

DISFA_LAYOUT = "ActionUnit_Labels/SN001/SN001_au1.txt"

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"(SN\d{3})_au0*(\d+)\.txt", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class DisfaLabelFiles:
    """The paths of the label files in a release of DISFA.

    Attributes:
        labels: the folder ActionUnit_Labels.
        image_root: the folder to search for images.
        files: the path of each label file, by subject and then by action unit (AU), for the
            subjects to read.
        all_subjects: the ids of all subjects that have labels, including subjects that the user
            chose not to read.
        ignored: files and folders that are not read, because their names are not those of label
            files or subjects.
    """

    labels: Path
    image_root: Path
    files: dict[str, dict[str, Path]]
    all_subjects: list[str]
    ignored: list[Path]

    def paths(self) -> list[Path]:
        """Return the paths of all label files, sorted by subject and AU."""
        return [path for by_au in self.files.values() for path in by_au.values()]

    def aus(self) -> set[str]:
        """Return the names of the AUs for which at least one subject has a label file."""
        return {au for by_au in self.files.values() for au in by_au}

    def keys(self) -> list[FolderKey]:
        """Return the key of each subject's image folder, for example ("SN001",).

        The keys are for `fauds.datasets.image_folders.find`.
        """
        return [(subject,) for subject in self.files]


def find_label_files(root: Path, options: ReadOptions) -> DisfaLabelFiles:
    """Find the label files in a release of DISFA, which may be incomplete.

    Args:
        root: the folder of the release, see `fauds.datasets.locate.label_folder`.
        options: the options of reading; the option `subjects` limits the files to some subjects.

    Raises:
        DataError: there are no label files, a subject's folder holds no label files or files of
            another subject, or two files of a subject label the same AU.
    """
    labels = locate.label_folder(root, "ActionUnit_Labels", DISFA_LAYOUT)
    read_marker(root, labels.parent)
    by_subject: dict[str, dict[str, Path]] = {}
    ignored: list[Path] = []
    for folder in locate.subfolders(labels):
        if _SUBJECT.fullmatch(folder.name) is None:
            ignored.append(folder)
        else:
            by_subject[folder.name.upper()] = _subject_files(folder, ignored)
    if not by_subject:
        present = abbreviated([path.name for path in locate.entries(labels)])
        raise DataError(
            f"No labels found: expected {DISFA_LAYOUT}; the folder holds {present}.",
            where=labels,
            hint="extract the release's ActionUnit_Labels archive here, or point --root elsewhere",
        )
    selected = select_subjects(list(by_subject), options, labels)
    all_subjects = sorted(by_subject, key=natural)
    files = {subject: by_subject[subject] for subject in selected}
    image_root = locate.image_root(root, labels)
    return DisfaLabelFiles(labels, image_root, files, all_subjects, ignored)


def _subject_files(folder: Path, ignored: list[Path]) -> dict[str, Path]:
    """Return the paths of the label files in a subject's folder, by AU, in FACS order.

    Files with other names are appended to `ignored`.
    """
    by_au: dict[str, Path] = {}
    for path in locate.files(folder, ".txt"):
        match = _NAME.fullmatch(path.name)
        au = f"AU{int(match[2]):02d}" if match else ""
        if match is None or au not in AUS:
            ignored.append(path)
            continue
        if match[1].upper() != folder.name.upper():
            raise DataError(
                f"{path.name} is in the folder {folder.name}, which is for another subject.",
                where=path,
                hint="compare with the original release, and move the file to its subject's folder",
            )
        if au in by_au:
            raise DataError(
                f"{by_au[au].name} and {path.name} are both labels of {au}.",
                where=path,
                hint="keep only the file that belongs to the release",
            )
        by_au[au] = path
    if not by_au:
        raise DataError(
            "The folder of this subject holds no label files.",
            where=folder,
            hint="copy the subject's label files from the release, or remove the folder",
        )
    return dict(sorted(by_au.items()))


_VIDEO = re.compile(r"(Left|Right)Video(SN\d{3})_comp(?:\.avi)?", re.IGNORECASE | re.ASCII)
_MATRIX = re.compile(r"(SN\d{3}_|l)(\d+)_lm\.mat", re.IGNORECASE | re.ASCII)
_SIDE = re.compile(
    r"((?<![A-Za-z])(?i:left|right)|(?<=[a-z])(?:Left|Right))(?=$|[^a-z]|cam|vid|view)", re.ASCII
)
_OTHER_CAMERA = "landmarks: none, since the release has landmarks for the left camera only"


def find_media(
    top: Path,
    last: Mapping[SequenceId, int],
    rule: BaseRule,
    declared: int | None,
    camera: Literal["left", "right"],
    within: Path | None,
) -> Footage:
    """Find the zip files of images, the videos and the landmarks of DISFA, below a folder.

    Args:
        top: the folder to search, with all folders in it.
        last: the number of the last labelled frame of each sequence; in DISFA, every subject has
            one sequence.
        rule: the reader's `image_base`, which derives the image base (the number of the image that
            shows labelled frame 1) of the images in zip files.
        declared: the image base, 0 or 1, if the user states it; None to derive it.
        camera: the camera whose images are wanted. The release has landmarks for the left camera
            only.
        within: the folder to search for extracted images, relative to `top`; None searches all
            of `top`.

    Raises:
        DataError: two files belong to the same subject, an archive is damaged, the numbering
            cannot be determined, or the extracted images are those of the other camera.
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

    video_files = tree.files_ending(folders, DATASET_VIDEO_SUFFIXES)
    videos = by_sequence(video_files, of_video, last, "videos")
    zips = [
        path
        for path in tree.files_ending(folders, (".zip",))
        if camera_of(path.relative_to(top).parts) in (None, camera)
    ]
    images_in_archives = {
        sequence: archive
        for sequence, archive in archives.find(zips, last, of_folders, rule, declared).items()
        if camera_of(next(iter(archive.members.values())).split("/")) in (None, camera)
    }
    if camera == "right":
        media = MediaFiles(images_in_archives, videos, {}, camera, without_landmarks=_OTHER_CAMERA)
    else:
        landmarks, notes = _landmarks(folders, last, declared)
        media = MediaFiles(images_in_archives, videos, landmarks, camera, tuple(notes))
    return collect_sources(top, last, media)


def sequence_of(folders: Iterable[str]) -> SequenceId | None:
    """Return the sequence that the names of folders state, or None if they name no subject.

    A sequence of DISFA is a subject with an empty string as the task, such as ``("SN001", "")``.

    Args:
        folders: the names of nested folders, the outermost first. If several names are those of
            subjects, the innermost of these names decides.
    """
    names = map(images.sequence_name, reversed([*folders]))
    subject = next(filter(_SUBJECT.fullmatch, names), None)
    return None if subject is None else (subject, "")


def camera_of(names: Iterable[str]) -> str | None:
    """Return the camera that the names of folders and a file state, "left" or "right".

    The result is None if they name no camera.

    Args:
        names: the names of nested folders, the outermost first, and optionally the name of a file
            in the last folder; for example Frames_RightCamera, SN001. If several names state a
            camera, the innermost of these names decides. A name that states both cameras is
            skipped.
    """
    for name in reversed([*names]):
        sides: set[str] = {side.lower() for side in _SIDE.findall(name)}
        if len(sides) == 1:
            return sides.pop()
    return None


def _check_images(
    top: Path, last: Mapping[SequenceId, int], camera: str, within: Path | None
) -> None:
    """Raise DataError if all extracted images of a subject are those of the unwanted camera.

    fauds would use these images in preference to the wanted camera's video, and the landmarks
    would not match the images. If a subject has images of both cameras, `DisfaReader.read` has
    already raised an error, which asks the user to name one folder.

    Args:
        top: the folder to search.
        last: the number of the last labelled frame of each sequence.
        camera: the wanted camera, "left" or "right".
        within: the folder to search, relative to `top`; None searches all of `top`.
    """
    by_subject: dict[str, dict[str | None, Path]] = {}
    for (subject,), folder in images.candidate_folders(
        top, [(subject,) for subject, _ in last], within
    ):
        if (name := images.first_image_name(folder)) is not None:
            names = [*Path(os.path.relpath(folder, top)).parts, name]
            by_subject.setdefault(subject, {})[camera_of(names)] = folder
    other = "right" if camera == "left" else "left"
    wrong = next(
        (subject for subject, cameras in by_subject.items() if [*cameras] == [other]), None
    )
    if wrong is not None:
        option = (
            "use --camera right and a face detector (--detector)"
            if other == "right"
            else "use --camera left"
        )
        raise DataError(
            f"The images of {wrong} are from the {other} camera, according to the name of their "
            f"folder or file, but images from the {camera} camera are needed.",
            where=by_subject[wrong][other],
            hint=f"{option}; or name the folder of the {camera} camera's images: --images FOLDER",
        )


def _landmarks(
    folders: list[tuple[Path, list[str]]], last: Mapping[SequenceId, int], declared: int | None
) -> tuple[dict[SequenceId, LandmarkFiles], list[str]]:
    texts = filter(jaa_text.is_landmarks, tree.files_ending(folders, ("land.txt",)))
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
                    hint="keep only the folder that belongs to the release",
                )
            base, note = _matrix_base(by_number, last[sequence])
            names = {number + 1 - base: name for number, name in by_number.items()}
            matrices[sequence] = LandmarkFiles("disfa-mat", 66, folder, names)
            if note:
                notes.append(f"{sequence[0]}: {note}")
    if matrices.keys() & lists.keys():
        notes.append("landmarks exist as .mat and as text files: the .mat files are used")
    return {**lists, **matrices}, notes


def _text_base(
    listed: Mapping[SequenceId, Listing], last: Mapping[SequenceId, int], declared: int | None
) -> int:
    """Return the number, 0 or 1, that labelled frame 1 has in the lists of frames with landmarks.

    A list leaves out frames without landmarks, which may include the first or the last frame. The
    number is therefore derived from the subjects whose lists include both the first and the last
    frame, and holds for all subjects. `declared` is used only if there are no such subjects,
    because the extracted images may be numbered differently from the lists.

    Args:
        listed: the image numbers that are listed for each sequence (subject).
        last: the number of the last labelled frame of each sequence.
        declared: the number of the extracted image that shows labelled frame 1, if the user states
            it; None otherwise.
    """
    complete = {
        sequence: listing
        for sequence, listing in listed.items()
        if (int(listing.numbers[0]), last[sequence] in listing.numbers) in ((0, False), (1, True))
    }
    base, _ = find_base(complete, last, None) if complete else find_base(listed, last, declared)
    return base or 0


def _matrices(folder: Path, files: list[str]) -> dict[SequenceId, dict[int, str]]:
    """Return the names of the landmark files in a folder, by sequence and by number.

    The numbers are those in the names of the files, such as 12 in SN001_0012_lm.mat, in rising
    order.

    Args:
        folder: the path of the folder.
        files: the names of all files in it.
    """
    by_sequence: dict[SequenceId, dict[int, str]] = {}
    of_folder = sequence_of(folder.parts)
    for name in files:
        match = _MATRIX.fullmatch(name)
        if match is None:
            continue
        own = (match[1][:-1].upper(), "") if len(match[1]) > 1 else of_folder
        if own is None:
            raise DataError(
                f"Neither the name of {name} nor its folder names a subject.",
                where=folder / name,
                hint="move the file to the folder of its subject, such as "
                "Landmark_Points/SN031/tmp_frame_lm",
            )
        if of_folder not in (None, own):
            raise DataError(
                f"{name} is in the folder of {of_folder[0]}, but is of another subject, {own[0]}.",
                where=folder / name,
                hint="compare with the original release, and move the file to its subject's folder",
            )
        by_number = by_sequence.setdefault(own, {})
        if (number := int(match[2])) in by_number:
            raise DataError(
                f"{by_number[number]} and {name} are both landmark file {number} of {own[0]}.",
                where=folder / name,
                hint="keep only the file that belongs to the release",
            )
        by_number[number] = name
    return {
        sequence: dict(sorted(by_number.items())) for sequence, by_number in by_sequence.items()
    }


def _matrix_base(by_number: Mapping[int, str], last: int) -> tuple[int, str]:
    """Return the number, 0 or 1, in the name of the landmark file of a subject's labelled frame 1.

    The release counts its landmark files from 0. Public code disagrees about this only for subjects
    with file names that begin with the letter l. For such a subject, the number is 1 if the first
    file has number 1 and a file has the number of the last labelled frame; otherwise it is 0.

    Args:
        by_number: the names of the subject's landmark files by the number in the name, in rising
            order.
        last: the number of the subject's last labelled frame.

    Returns:
        The number; and a message that says how the number was chosen, which is empty if there is
        no doubt about the number.
    """
    first = next(iter(by_number))
    if not any(name[0] in "lL" for name in by_number.values()) or first == 0:
        return 0, ""
    if first == 1 and last in by_number:
        return 1, "its landmark files count from 1, as the first and the last file show"
    return 0, "its landmark files are assumed to count from 0, like those of other subjects"


CODED_AUS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
"""The AUs that DISFA's labels code for every subject."""

_COLUMNS = LabelLayout(2, 0, (1,), 0, frozenset(range(6)))


class DisfaReader:
    """Reads DISFA's raw files, with the interface of `fauds.datasets.base.Reader`.

    Every subject of DISFA has one sequence (one video). DISFA has no tasks; an empty string takes
    the place of the task.
    """

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the paths of all label files, sorted by subject and AU.

        Args:
            root: the folder of the release.
            options: the options of reading; None for the defaults of `ReadOptions`.

        Raises:
            DataError: there are no label files; the message names the expected layout.
        """
        return find_label_files(root, options or ReadOptions()).paths()

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a hex digest of a release, which shows whether its files have changed.

        It depends on the contents of the label files and of the table of sexes, and on the names,
        sizes and modification times of the images.
        """
        options = options or ReadOptions()
        release = find_label_files(root, options)
        folders = images.find(release.image_root, release.keys(), options.images)
        _, sex_bytes = _sexes(release, None, options)
        return _fingerprint(release, LabelFileReader(release.labels.parent), folders, sex_bytes)

    def image_base(
        self,
        folders: Mapping[images.Key, images.Listing],
        last: Mapping[images.Key, int],
        declared: int | None,
    ) -> tuple[int | None, str]:
        """Return the number of the image that shows labelled frame 1, and how this is known.

        See `fauds.datasets.numbering.find_base`.
        """
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
        """Find the zip files of images, the videos and the landmarks to crop faces from.

        DISFA has landmarks for the left camera only. See `fauds.datasets.base.Reader.footage` for
        the arguments and errors.
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
        """Read the labels of a release of DISFA and find its images; the release may be incomplete.

        Args:
            root: the folder of the release, its ActionUnit_Labels folder, or the folder above the
                release if that holds only one release.
            expected: the published numbers of subjects, sequences and frames to compare with, see
                `fauds.datasets.subjects.differences`; None skips the comparison.
            options: the options of reading; None for the defaults of `ReadOptions`. The option
                `occurrence_at` is the lowest intensity at which an AU counts as occurring.
            sink: a function that is called with some rows of the frames table at a time, see
                `fauds.datasets.base.Reader.read`.

        Raises:
            DataError: a file differs from the layout of the release (the message names the file
                and, if possible, the line), the label file of an AU is missing, or the numbering
                of the images cannot be determined.
            UsageError: the option `occurrence_at` is None.
        """
        options = options or ReadOptions()
        if options.occurrence_at is None:
            raise UsageError(
                "DISFA codes intensity only: the threshold for occurrence, occurrence_at, is not "
                "set.",
                hint="set occurrence_at to the lowest intensity that counts as occurrence, 1 to 5; "
                "published results use 2",
            )
        release = find_label_files(root, options)
        aus = sorted({*CODED_AUS, *options.aus, *release.aus()})
        if options.missing_aus == "error":
            _check_complete(release, aus)
        folders = images.find(release.image_root, release.keys(), options.images)
        sexes, sex_bytes = _sexes(release, expected, options)
        label_files = LabelFileReader(release.labels.parent)
        numbering = Numbering(folders, self.image_base, options.image_base)
        writer = FramesTableWriter(sink, numbering)
        for group in label_files.groups(release.files.items()):
            writer.add(_labels(group, aus, options.occurrence_at), sexes)
        return Reading(
            root=release.image_root,
            fingerprint=_fingerprint(release, label_files, folders, sex_bytes),
            synthetic=read_marker(root, release.image_root, release.labels.parent) is not None,
            image_base=numbering.base,
            differences=differences(writer.counts, expected),
            notes=(
                *_label_notes(release, writer, aus, options),
                *images.notes(folders, numbering.base, numbering.how, writer.without_image),
                *locate.ignored_notes(release.ignored, release.labels.parent),
            ),
        )


DISFA = DisfaReader()


def _sexes(
    release: DisfaLabelFiles, expected: Mapping[str, Any] | None, options: ReadOptions
) -> tuple[dict[str, str | None], bytes]:
    if options.sex_table is None:
        return {}, b""
    # A table of all published subjects may be used with an incomplete release.
    published = (expected or {}).get("frames_per_subject") or {}
    return read_sexes(options.sex_table, sorted({*release.all_subjects, *published}, key=natural))


def _fingerprint(
    release: DisfaLabelFiles,
    label_files: LabelFileReader,
    folders: Mapping[images.FolderKey, images.ImageFolder],
    sex_bytes: bytes,
) -> str:
    labels = label_files.fingerprint(release.paths())
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
    """Yield an array of the intensities of one AU for each subject, int8 [frames].

    All values are MISSING for a subject that has no label file of this AU.

    Args:
        blocks: the labels of each subject, by AU.
        frames: the numbers of each subject's labelled frames.
        au: the name of the AU.
    """
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
                    f"Subject {subject} has no label file of {au}.",
                    where=release.labels / subject / f"{subject}_au{au_number(au)}.txt",
                    hint="copy the file from the release, or treat missing AUs as not coded "
                    "(--missing-aus null)",
                )


def _check_agreement(by_au: Mapping[str, Block], files: Mapping[str, LabelFile]) -> None:
    """Raise DataError unless the label files of a subject, one per AU, have the same frames."""
    (first_au, first), *others = by_au.items()
    for au, block in others:
        if np.array_equal(first.frames, block.frames):
            continue
        only = np.setxor1d(first.frames, block.frames, assume_unique=True)[0]
        has, lacks = (first_au, au) if only in first.frames else (au, first_au)
        raise DataError(
            f"Frame {only} is labelled in {files[has].path.name} but not in "
            f"{files[lacks].path.name} "
            f"(the files have {len(by_au[has].frames):,} and {len(by_au[lacks].frames):,} frames).",
            where=files[lacks].path,
            hint="compare the file with the original release, or extract it again",
        )


def _label_notes(
    release: DisfaLabelFiles,
    writer: FramesTableWriter,
    aus: Sequence[str],
    options: ReadOptions,
) -> list[str]:
    notes = [
        f"labels: {len(release.paths())} files of {len(writer.counts)} subjects, "
        f"{writer.rows:,} coded frames",
        f"occurrence: intensity >= {options.occurrence_at}",
    ]
    for au in aus:
        uncoded = [subject for subject, by_au in release.files.items() if au not in by_au]
        if uncoded:
            notes.append(f"{au} is not coded (null) for {abbreviated(uncoded)}")
    return notes
