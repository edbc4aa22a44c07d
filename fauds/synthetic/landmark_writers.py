"""Writers of the landmark files of synthetic releases, in the formats of BP4D, DISFA and JAA-Net.

All of these formats count pixels from 1, as MATLAB does: (1, 1) is the middle of the first pixel.
The libraries h5py and scipy.io load slowly, and a dataset needs at most one of them. Each of them
is therefore imported only in the function that uses it.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np

from fauds.synthetic.layout import SyntheticSequence
from fauds.synthetic.population import generator

TEXT_NAMES = {"bp4d": "BP4D_combine_1_2_3_land.txt", "disfa": "DISFA_combine_1_2_3_66land.txt"}
"""The landmark text file of each dataset; the name of the image list ends in ``_path.txt``."""

_INNER_CORNERS = (60, 64)
_JAW = 17
_SHARE_MISSING = 0.03
_EVERY = 3

# DISFA ships the landmarks of one subject under other names, and one of these files is missing.
_RENAMED, _MISSING = "SN031", 3632

_MAT_5 = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(116)
_USER_BLOCK = 512
_MAT_7 = (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM").ljust(
    _USER_BLOCK, b"\0"
)


def missing_landmarks(sequences: Sequence[SyntheticSequence], seed: int) -> list[np.ndarray]:
    """Return which frames of a synthetic release have no landmarks, as if a tracker had failed.

    Landmarks are missing in one run of consecutive frames of the first subject, and of every third
    subject after that. The run has about 3 % of the subject's frames, but at least one frame. If
    the subject has a long enough sequence, the run contains neither the first nor the last frame of
    its sequence. In addition, frame 3632 of DISFA's SN031 has no landmarks, as in the real dataset.

    Args:
        sequences: all sequences of the release.
        seed: the seed of the release.

    Returns:
        An array for each sequence, bool [F]: True for frames that have no landmarks.
    """
    missing = [
        (sequence.frames == _MISSING) & (sequence.subject == _RENAMED) for sequence in sequences
    ]
    for subject in list(dict.fromkeys(sequence.subject for sequence in sequences))[::_EVERY]:
        lengths = np.array(
            [len(sequence.frames) * (sequence.subject == subject) for sequence in sequences]
        )
        count = max(1, round(_SHARE_MISSING * int(lengths.sum())))
        # Readers infer the numbering of the images from the first and the last frame.
        inside = np.flatnonzero(lengths >= count + 2)
        rng = generator(seed, "no landmarks", subject)
        index = int(rng.choice(inside)) if len(inside) else int(lengths.argmax())
        start = int(rng.integers(1, lengths[index] - count)) if len(inside) else 0
        missing[index][start : start + count] = True
    return missing


def subset(points: np.ndarray, count: int) -> np.ndarray:
    """Return 66 or 49 of iBUG's 68 landmarks, [F, count, 2].

    Args:
        points: the 68 landmarks of F frames, [F, 68, 2].
        count: 66 to leave out the inner corners of the lips, 49 to leave out the jaw too.
    """
    kept = np.delete(points, _INNER_CORNERS, axis=1)
    return kept if count == 66 else kept[:, _JAW:]


def write_bp4d_mat(path: Path, frames: np.ndarray, points: np.ndarray, none: np.ndarray) -> None:
    """Write the landmark file of one sequence in BP4D's format.

    The file is in MATLAB's format 7.3; its variable ``fit/pred`` has an entry for each frame.

    Args:
        path: the path of the file, such as ``2DFeatures/F001_T1.mat``.
        frames: the coded frame numbers, increasing, int32 [F]. The file has an entry for every
            frame from 1 to the last coded frame; the entry of a frame that is not coded is empty.
        points: the landmarks, [F, 68, 2], x and y in pixels, where (0, 0) is the middle of the
            first pixel; 49 of the 68 points are written.
        none: which frames have no landmarks, bool [F]; their entries are empty.
    """
    import h5py

    # Written in memory first, so that a full disk raises OSError; the file image of HDF5 does not
    # include the user block.
    with h5py.File(
        path.name, "w", driver="core", backing_store=False, userblock_size=_USER_BLOCK
    ) as file:
        stored = file.create_group("#refs#")

        def store(name: str, values: np.ndarray) -> h5py.Dataset:
            dataset = stored.create_dataset(name, data=values, track_times=False)
            dataset.attrs["MATLAB_class"] = np.bytes_("double")
            return dataset

        empty = store("empty", np.zeros(2, np.uint64))
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        entries = np.full((int(frames[-1]), 1), empty.ref, h5py.ref_dtype)
        pixels = subset(points, 49).astype(np.float64).transpose(0, 2, 1) + 1
        for index in np.flatnonzero(~none):
            number = int(frames[index])
            entries[number - 1, 0] = store(f"frame {number}", pixels[index]).ref
        fit = file.create_group("fit")
        fit.attrs["MATLAB_class"] = np.bytes_("struct")
        fit.create_dataset("pred", data=entries, dtype=h5py.ref_dtype, track_times=False)
        file.flush()
        image = file.id.get_file_image()
    path.write_bytes(_MAT_7 + image)


def write_disfa_mats(
    folder: Path, subject: str, frames: np.ndarray, points: np.ndarray, none: np.ndarray
) -> None:
    """Write the landmark files of one subject in DISFA's format, one file for each frame.

    A file is in MATLAB's format 5 and holds 66 points in the variable ``pts``, 66 x 2. Its name,
    such as ``SN001_0000_lm.mat``, holds the frame number minus 1.

    Args:
        folder: the folder to write to, such as ``Landmark_Points/SN001/tmp_frame_lm``.
        subject: the subject's id. The files of SN031 are named differently, as in the real
            dataset: ``l00000_lm.mat``.
        frames: the frame numbers, counted from 1, int32 [F].
        points: the landmarks, [F, 68, 2], x and y in pixels, where (0, 0) is the middle of the
            first pixel; 66 of the 68 points are written.
        none: which frames have no landmarks, bool [F]; no files are written for them.
    """
    from scipy.io import savemat

    name = "l{:05d}_lm.mat" if subject == _RENAMED else subject + "_{:04d}_lm.mat"
    pixels = subset(points, 66).astype(np.float64) + 1
    for index in np.flatnonzero(~none):
        buffer = BytesIO()
        # The types of SciPy do not know that savemat accepts open files.
        savemat(buffer, {"pts": pixels[index]})  # type: ignore[arg-type]
        # The header that SciPy writes contains the time.
        data = _MAT_5 + buffer.getvalue()[len(_MAT_5) :]
        (folder / name.format(frames[index] - 1)).write_bytes(data)


def write_jaa_text(
    folder: Path,
    like: str,
    sequences: Iterable[tuple[SyntheticSequence, np.ndarray, np.ndarray]],
) -> None:
    """Write the landmarks of a release in JAA-Net's format: two text files, a line for each frame.

    The first file holds the coordinates ``x1 y1 x2 y2 ...`` (49 points for BP4D, 66 for DISFA). The
    second file holds the names of the images: ``F001/T1/0643.jpg`` for frame 643 of BP4D's label
    files, ``SN001/0.png`` for frame 1 of DISFA's label files. Frames without landmarks are left
    out of both text files.

    Args:
        folder: the folder to create.
        like: the dataset, "bp4d" or "disfa".
        sequences: the sequences in order, each with its landmarks, [F, 68, 2], in pixels, where
            (0, 0) is the middle of the first pixel, and with an array, bool [F], that is True for
            frames without landmarks.
    """
    folder.mkdir(parents=True)
    name = TEXT_NAMES[like]
    with ExitStack() as files:
        lands = files.enter_context((folder / name).open("wb"))
        paths = files.enter_context((folder / (name[: name.rindex("_")] + "_path.txt")).open("wb"))
        for sequence, points, none in sequences:
            numbers, known = sequence.frames[~none], points[~none]
            if like == "bp4d":
                names = [
                    f"{sequence.subject}/{sequence.task}/{number:04d}.jpg\n" for number in numbers
                ]
            else:
                names = [f"{sequence.subject}/{number - 1}.png\n" for number in numbers]
            written = subset(known, 49 if like == "bp4d" else 66)
            np.savetxt(lands, written.reshape(len(written), 2 * written.shape[1]) + 1.0, fmt="%.4f")
            paths.write("".join(names).encode())
