"""AU sets and random frames for the caption tests."""

import numpy as np
import pyarrow as pa

BP4D = ["AU01", "AU02", "AU04", "AU06", "AU07", "AU10"]
BP4D += ["AU12", "AU14", "AU15", "AU17", "AU23", "AU24"]
DISFA = ["AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU25", "AU26"]
BOTH = sorted({*BP4D, *DISFA, "AU05", "AU20"})


def make_frames(
    aus: list[str], rows: int, seed: int = 0, nulls: float = 0.0, intensities: bool = False
) -> pa.Table:
    """Return a frames table with random subjects, sexes and occurrences.

    Intensities are independent of occurrence, so that every combination of the two occurs.
    """
    rng = np.random.default_rng(seed)
    sexes = rng.choice(np.array(["F", "M", None], dtype=object), rows)
    columns = {
        "frame_id": pa.array(np.arange(rows)),
        "subject": pa.array([f"F{n % 3 + 1:03d}" for n in range(rows)]).dictionary_encode(),
        "task": pa.array([f"T{n // 40}" for n in range(rows)], pa.string()).dictionary_encode(),
        "frame": pa.array(np.arange(rows, dtype=np.int32) + 5),
        "sex": pa.array(sexes, pa.string()).dictionary_encode(),
    }
    for au in aus:
        columns[au] = pa.array(
            rng.integers(0, 2, rows).astype(np.int8), mask=rng.random(rows) < nulls
        )
    for au in aus if intensities else ():
        columns[f"{au}_intensity"] = pa.array(
            rng.integers(0, 6, rows).astype(np.int8), mask=rng.random(rows) < nulls
        )
    return pa.table(columns)
