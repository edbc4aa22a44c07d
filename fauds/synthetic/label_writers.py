"""The label files of a made-up distribution, as BP4D and DISFA ship theirs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.datasets.label_text import MISSING
from fauds.facs import au_number
from fauds.synthetic.labels import Take, occurrence

BP4D_INTENSITY_AUS = ("AU06", "AU10", "AU12", "AU14", "AU17")
"""The AUs whose intensities BP4D's release codes."""

_BP4D_COLUMNS = 100


@dataclass(frozen=True)
class SyntheticLabels:
    """Sequences, the A AUs, and intensities int8 [frames of all sequences, A], 0 to 5."""

    takes: Sequence[Take]
    aus: tuple[str, ...]
    intensities: np.ndarray

    def by_take(self) -> Iterator[tuple[Take, np.ndarray]]:
        """Yield every sequence with its own intensities, int8 [F, A]."""
        start = 0
        for take in self.takes:
            yield take, self.intensities[start : start + len(take.frames)]
            start += len(take.frames)


def write_labels(out: Path, like: str, labels: SyntheticLabels) -> None:
    """Write the label files of all sequences into a distribution's root."""
    _WRITERS[like](out, labels)


def _write_bp4d(out: Path, labels: SyntheticLabels) -> None:
    header = (",".join(map(str, range(_BP4D_COLUMNS))) + "\n").encode()
    columns = [au_number(au) - 1 for au in labels.aus]
    coder = out / "AUCoding"
    for folder in ("AU_OCC", *(f"AU_INT/{au}" for au in BP4D_INTENSITY_AUS)):
        (coder / folder).mkdir(parents=True)
    for take, intensities in labels.by_take():
        name = f"{take.subject}_{take.task}"
        codes = np.full((len(take.frames), _BP4D_COLUMNS - 1), MISSING, np.uint8)
        codes[:, columns] = occurrence("bp4d", intensities)
        (coder / "AU_OCC" / f"{name}.csv").write_bytes(header + _csv(take.frames, codes))
        for au in BP4D_INTENSITY_AUS:
            column = intensities[:, [labels.aus.index(au)]]
            (coder / "AU_INT" / au / f"{name}_{au}.csv").write_bytes(_csv(take.frames, column))


def _write_disfa(out: Path, labels: SyntheticLabels) -> None:
    for take, intensities in labels.by_take():
        folder = out / "ActionUnit_Labels" / take.subject
        folder.mkdir(parents=True)
        for index, au in enumerate(labels.aus):
            path = folder / f"{take.subject}_au{au_number(au)}.txt"
            path.write_bytes(_csv(take.frames, intensities[:, [index]]))


_WRITERS: dict[str, Callable[[Path, SyntheticLabels], None]] = {
    "bp4d": _write_bp4d,
    "disfa": _write_disfa,
}


def _csv(frames: np.ndarray, values: np.ndarray) -> bytes:
    """Return CSV rows: frame numbers [N], then values [N, K], each 0 to 9."""
    # Numbers are padded with zero bytes to one width, which are then taken out.
    numbers = frames.astype("S11").view(np.uint8).reshape(len(frames), -1)
    cells = np.full((len(frames), 2 * values.shape[1] + 1), ord(","), np.uint8)
    cells[:, 1::2] = values.astype(np.uint8) + ord("0")
    cells[:, -1] = ord("\n")
    return np.hstack([numbers, cells]).tobytes().translate(None, b"\0")
