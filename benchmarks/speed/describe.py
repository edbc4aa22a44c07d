"""Measure the speed and memory of fauds describe.

    python benchmarks/speed/describe.py              a clip of 10 minutes, and 1 million rows
    python benchmarks/speed/describe.py --rows 0     the clip only

The clip has the columns of OpenFace's FeatureExtraction (714 columns, 30 frames a second); each
output is written by the command in a process of its own, imports included. The long table has
OpenFace's columns of AUs only; its frames are described to CSV, and its events are found, with the
same number of rows in one clip and in fewer: the memory should not grow with the rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REGRESSED = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
CLASSIFIED = (*REGRESSED[:-1], 28, 45)
FPS = 30


def header(wide: bool) -> list[str]:
    """Return the names of the columns that OpenFace writes for a video."""
    names = ["frame", "face_id", "timestamp", "confidence", "success"]
    if wide:
        names += [f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"]
        names += ["gaze_angle_x", "gaze_angle_y"]
        names += [f"eye_lmk_{axis}_{point}" for axis in "xyXYZ" for point in range(56)]
        names += [f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"]
        names += [f"{axis}_{point}" for axis in "xyXYZ" for point in range(68)]
        names += ["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"]
        names += [f"p_{number}" for number in range(34)]
    names += [f"AU{au:02d}_r" for au in REGRESSED]
    return [*names, *(f"AU{au:02d}_c" for au in CLASSIFIED)]


def write_openface(path: Path, frames: int, wide: bool, seed: int = 0) -> None:
    """Write a table in the layout of OpenFace, with movements at random times."""
    rng = np.random.default_rng(seed)
    intensities = rng.normal(0, 0.1, (frames, len(REGRESSED)))
    for column in range(len(REGRESSED)):
        for start in rng.integers(0, frames, max(1, frames // (12 * FPS))):
            length = int(rng.uniform(0.2, 4) * FPS)
            bump = rng.uniform(1, 5) * np.sin(np.pi * np.arange(length) / length)
            piece = intensities[start : start + length, column]
            np.maximum(piece, bump[: len(piece)], out=piece)
    intensities = np.clip(intensities, 0, 5).round(2)
    decisions = np.zeros((frames, len(CLASSIFIED)))
    for place, au in enumerate(CLASSIFIED):
        if au in REGRESSED:
            decisions[:, place] = intensities[:, REGRESSED.index(au)] >= 1
    filler = ", ".join(["123.456"] * (len(header(wide)) - 5 - 35))
    with path.open("w", encoding="utf-8") as file:
        file.write(", ".join(header(wide)) + "\n")
        for row in range(frames):
            start = f"{row + 1}, 0, {row / FPS:.3f}, 0.98, 1"
            aus = ", ".join(f"{value:.2f}" for value in (*intensities[row], *decisions[row]))
            file.write(", ".join(filter(None, (start, filler, aus))) + "\n")


def measured(*words: str) -> tuple[float, float]:
    """Run the command fauds describe in a process; return its seconds and peak memory in MB."""
    code = (
        "import json, resource, sys\n"
        "from fauds.cli.main import cli\n"
        "cli.main(sys.argv[1:], standalone_mode=False)\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "print(json.dumps(peak))\n"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "describe", *words], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every output, and the memory for a million rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="length of the clip")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the long table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = folder / "clip.csv"
        frames = int(arguments.minutes * 60 * FPS)
        write_openface(clip, frames, wide=True)
        print(f"clip: {frames:,} frames, {clip.stat().st_size / 1e6:.0f} MB")
        print("aim for events to .srt, .eaf and .xlsx: at most 3 s each")
        for suffix in (".srt", ".vtt", ".eaf", ".TextGrid", ".xlsx", ".csv", ".parquet"):
            out = folder / f"events{suffix}"
            runs = [measured(str(clip), "--events", "-o", str(out)) for _ in range(3)]
            seconds, peak = min(runs)
            size = out.stat().st_size / 1e3
            print(f"events to {suffix:9} {seconds:6.2f} s  peak {peak:5.0f} MB  {size:7.0f} kB")
        for suffix in (".csv", ".xlsx"):
            seconds, peak = measured(str(clip), "-o", str(folder / f"frames{suffix}"))
            print(f"frames to {suffix:9} {seconds:6.2f} s  peak {peak:5.0f} MB")
        if arguments.rows:
            for rows in (arguments.rows // 10, arguments.rows):
                long = folder / "long.csv"
                write_openface(long, rows, wide=False)
                for words in (("-o", str(folder / "long-frames.csv")),
                              ("--events", "-o", str(folder / "long-events.csv"))):  # fmt: skip
                    seconds, peak = measured(str(long), *words)
                    what = "events" if "--events" in words else "frames"
                    print(f"{rows:>9,} rows, {what} to .csv {seconds:7.1f} s  peak {peak:5.0f} MB")


if __name__ == "__main__":
    main()
