"""Writers of the label files of synthetic releases, in the formats of BP4D and DISFA."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.datasets.label_text import MISSING
from fauds.facs import au_number
from fauds.synthetic.labels import SyntheticSequence, occurrence

BP4D_INTENSITY_AUS = ("AU06", "AU10", "AU12", "AU14", "AU17")
"""The AUs whose intensities are coded in BP4D's release."""

_BP4D_COLUMNS = 100


@dataclass(frozen=True)
class SyntheticLabels:
    """The labels of a synthetic release.

    Attributes:
        sequences: the sequences, with the numbers of their coded frames.
        aus: the names of the A AUs.
        intensities: the intensities, int8 [N, A], 0 to 5, in the N frames of all sequences, in
            the order of the sequences.
    """

    sequences: Sequence[SyntheticSequence]
    aus: tuple[str, ...]
    intensities: np.ndarray

    def by_sequence(self) -> Iterator[tuple[SyntheticSequence, np.ndarray]]:
        """Yield every sequence with the intensities of its F frames, int8 [F, A]."""
        start = 0
        for sequence in self.sequences:
            yield sequence, self.intensities[start : start + len(sequence.frames)]
            start += len(sequence.frames)


def write_labels(out: Path, like: str, labels: SyntheticLabels) -> None:
    """Write the label files of all sequences.

    Args:
        out: the root folder of the release.
        like: the dataset whose format is used, ``bp4d`` or ``disfa``.
        labels: the sequences and the intensities of their AUs.
    """
    _WRITERS[like](out, labels)


def _write_bp4d(out: Path, labels: SyntheticLabels) -> None:
    header = (",".join(map(str, range(_BP4D_COLUMNS))) + "\n").encode()
    columns = [au_number(au) - 1 for au in labels.aus]
    coder = out / "AUCoding"
    for folder in ("AU_OCC", *(f"AU_INT/{au}" for au in BP4D_INTENSITY_AUS)):
        (coder / folder).mkdir(parents=True)
    for sequence, intensities in labels.by_sequence():
        name = f"{sequence.subject}_{sequence.task}"
        codes = np.full((len(sequence.frames), _BP4D_COLUMNS - 1), MISSING, np.uint8)
        codes[:, columns] = occurrence("bp4d", intensities)
        (coder / "AU_OCC" / f"{name}.csv").write_bytes(header + _csv(sequence.frames, codes))
        for au in BP4D_INTENSITY_AUS:
            column = intensities[:, [labels.aus.index(au)]]
            (coder / "AU_INT" / au / f"{name}_{au}.csv").write_bytes(_csv(sequence.frames, column))


def _write_disfa(out: Path, labels: SyntheticLabels) -> None:
    for sequence, intensities in labels.by_sequence():
        folder = out / "ActionUnit_Labels" / sequence.subject
        folder.mkdir(parents=True)
        for index, au in enumerate(labels.aus):
            path = folder / f"{sequence.subject}_au{au_number(au)}.txt"
            path.write_bytes(_csv(sequence.frames, intensities[:, [index]]))


_WRITERS: dict[str, Callable[[Path, SyntheticLabels], None]] = {
    "bp4d": _write_bp4d,
    "disfa": _write_disfa,
}


def _csv(frames: np.ndarray, values: np.ndarray) -> bytes:
    """Return lines of CSV text, each a frame number and K values, as bytes.

    Args:
        frames: the frame numbers, [N].
        values: the values, whole numbers from 0 to 9, [N, K].
    """
    # Numbers are padded with zero bytes to one width; the zero bytes are removed at the end.
    numbers = frames.astype("S11").view(np.uint8).reshape(len(frames), -1)
    cells = np.full((len(frames), 2 * values.shape[1] + 1), ord(","), np.uint8)
    cells[:, 1::2] = values.astype(np.uint8) + ord("0")
    cells[:, -1] = ord("\n")
    return np.hstack([numbers, cells]).tobytes().translate(None, b"\0")
