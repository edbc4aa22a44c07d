"""Which paraphrase a frame gets: a hash of (seed, subject, task, frame), and of nothing else."""

import hashlib

import numpy as np
import pyarrow as pa

from fauds.columns import to_numpy


def draw(frames: pa.Table, count: int, seed: int) -> np.ndarray:
    """Return the paraphrase of every frame, int64 [frames], 0 to count - 1.

    A frame's does not depend on its labels, nor on which other frames or subjects are there.

    Args:
        frames: with subject and task (dictionaries of strings) and frame (int32).
        count: how many paraphrases there are.
        seed: chooses another assignment.
    """
    if count == 1:
        return np.zeros(len(frames), np.int64)
    subjects, subject_names = _codes(frames["subject"])
    tasks, task_names = _codes(frames["task"])
    sequences, rows = np.unique(subjects * len(task_names) + tasks, return_inverse=True)
    keys = [
        _key(seed, subject_names[code // len(task_names)], task_names[code % len(task_names)])
        for code in sequences.tolist()
    ]
    numbers = to_numpy(frames["frame"]).astype(np.uint64)
    return (_mixed(np.array(keys, np.uint64)[rows], numbers) % np.uint64(count)).astype(np.int64)


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    encoded = column.unify_dictionaries()
    if not encoded.num_chunks:
        return np.empty(0, np.int64), [""]
    indices = pa.chunked_array([chunk.indices for chunk in encoded.chunks])
    return to_numpy(indices).astype(np.int64), encoded.chunk(0).dictionary.to_pylist()


def _key(seed: int, subject: str, task: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{subject}/{task}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mixed(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return SplitMix64 (Steele et al. 2014) of each sequence's key moved on by the frame."""
    mixed = keys + numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
