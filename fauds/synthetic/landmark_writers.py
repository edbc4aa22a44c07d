"""The landmark files of a made-up distribution, as BP4D, DISFA and JAA-Net ship theirs.

All of them count pixels from 1, as MATLAB does: (1, 1) is the middle of the first pixel.
h5py and scipy.io load slowly and every dataset needs one at most, hence the late imports.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np

from fauds.synthetic.layout import Take
from fauds.synthetic.population import generator

TEXT_NAMES = {"bp4d": "BP4D_combine_1_2_3_land.txt", "disfa": "DISFA_combine_1_2_3_66land.txt"}
"""The text file of landmarks by dataset; that of paths ends on ``_path.txt``."""

_INNER_CORNERS = (60, 64)
_JAW = 17
_SHARE_MISSING = 0.03
_EVERY = 3

# DISFA ships one subject's landmarks under other names, one of which is not there.
_RENAMED, _NOT_THERE = "SN031", 3632

_MAT_5 = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(116)
_USER_BLOCK = 512
_MAT_7 = (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM").ljust(
    _USER_BLOCK, b"\0"
)


def missing_landmarks(takes: Sequence[Take], seed: int) -> list[np.ndarray]:
    """Say which frames have no landmarks, as real trackers lose some.

    In the first subject and every third one after it, one run of about 3 % of the subject's
    frames, at least one frame, which is inside a sequence where one is long enough. Besides,
    frame 3632 of DISFA's SN031, which the real landmarks lack too.

    Args:
        takes: all sequences of the distribution.
        seed: of the distribution.

    Returns:
        Of each sequence bool [F]: whether the frame has none.
    """
    missing = [(take.frames == _NOT_THERE) & (take.subject == _RENAMED) for take in takes]
    for subject in list(dict.fromkeys(take.subject for take in takes))[::_EVERY]:
        lengths = np.array([len(take.frames) * (take.subject == subject) for take in takes])
        count = max(1, round(_SHARE_MISSING * int(lengths.sum())))
        # The first and the last frame tell readers how images are numbered.
        inside = np.flatnonzero(lengths >= count + 2)
        rng = generator(seed, "no landmarks", subject)
        index = int(rng.choice(inside)) if len(inside) else int(lengths.argmax())
        start = int(rng.integers(1, lengths[index] - count)) if len(inside) else 0
        missing[index][start : start + count] = True
    return missing


def subset(points: np.ndarray, count: int) -> np.ndarray:
    """Return 66 (no inner lip corners) or 49 (no jaw either) of iBUG's landmarks [F, 68, 2]."""
    kept = np.delete(points, _INNER_CORNERS, axis=1)
    return kept if count == 66 else kept[:, _JAW:]


def write_bp4d_mat(path: Path, frames: np.ndarray, points: np.ndarray, none: np.ndarray) -> None:
    """Write BP4D's landmark file of a sequence, MATLAB 7.3: ``fit/pred``, an entry a frame.

    Args:
        path: ``2DFeatures/F001_T1.mat``.
        frames: int32 [F], rising; the file has the frames from 1 to the last of them.
        points: [F, 68, 2], x and y, (0, 0) the middle of the first pixel; 49 of them are written.
        none: bool [F], whether the frame has no landmarks; frames that are not coded have none.
    """
    import h5py

    # In memory first: HDF5 reports a full disk in ways of its own, and a user block is no part
    # of a file's image.
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
    """Write DISFA's landmark files of a subject, MATLAB 5: ``pts``, 66 x 2, a file a frame.

    Args:
        folder: ``Landmark_Points/SN001/tmp_frame_lm``; the files' numbers count from 0.
        subject: SN031's files have other names, ``l00000_lm.mat``.
        frames: int32 [F].
        points: [F, 68, 2], x and y, (0, 0) the middle of the first pixel; 66 of them are written.
        none: bool [F], whether the frame has no landmarks, and so no file.
    """
    from scipy.io import savemat

    name = "l{:05d}_lm.mat" if subject == _RENAMED else subject + "_{:04d}_lm.mat"
    pixels = subset(points, 66).astype(np.float64) + 1
    for index in np.flatnonzero(~none):
        buffer = BytesIO()
        # scipy-stubs leave out that savemat takes open files.
        savemat(buffer, {"pts": pixels[index]})  # type: ignore[arg-type]
        # SciPy's own header tells the time.
        data = _MAT_5 + buffer.getvalue()[len(_MAT_5) :]
        (folder / name.format(frames[index] - 1)).write_bytes(data)


def write_jaa_text(
    folder: Path,
    like: str,
    sequences: Iterable[tuple[Take, np.ndarray, np.ndarray]],
) -> None:
    """Write the landmarks of a distribution as JAA-Net has them: two text files, line by line.

    One holds ``x1 y1 x2 y2 ...`` (49 points of BP4D, 66 of DISFA), the other the images' names:
    ``F001/T1/0643.jpg`` for label frame 643, ``SN001/0.png`` for label frame 1. Frames without
    landmarks are in neither.

    Args:
        folder: where to; it is made.
        like: "bp4d" or "disfa".
        sequences: in order, with landmarks [F, 68, 2], (0, 0) the middle of the first pixel, and
            bool [F], whether the frame has none.
    """
    folder.mkdir(parents=True)
    name = TEXT_NAMES[like]
    with ExitStack() as files:
        lands = files.enter_context((folder / name).open("wb"))
        paths = files.enter_context((folder / (name[: name.rindex("_")] + "_path.txt")).open("wb"))
        for take, points, none in sequences:
            numbers, shown = take.frames[~none], points[~none]
            if like == "bp4d":
                names = [f"{take.subject}/{take.task}/{number:04d}.jpg\n" for number in numbers]
            else:
                names = [f"{take.subject}/{number - 1}.png\n" for number in numbers]
            chosen = subset(shown, 49 if like == "bp4d" else 66)
            np.savetxt(lands, chosen.reshape(len(chosen), 2 * chosen.shape[1]) + 1.0, fmt="%.4f")
            paths.write("".join(names).encode())
