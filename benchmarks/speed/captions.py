"""Measure the speed and memory of fauds build-captions, as ratios of one run.

    python benchmarks/speed/captions.py                  BP4D size, and 10 million frames
    python benchmarks/speed/captions.py --large 0        BP4D size only
    python benchmarks/speed/captions.py --style composed

Each part is measured in a process of its own, without its imports:

  ours    the command: occurrence CSVs to frames, captions, phrases and vocabulary
  read    pyarrow.csv alone, reading the same columns of the same files
  loop    rendering every frame's templates one after another (a sample, extrapolated)

The large release has the files of the small one under more task names, as hard links.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SAMPLE = 10_000
"""The number of frames that `loop` renders."""


def ours(root: Path, style: str) -> None:
    """Run the step in a new workdir."""
    import pyarrow.csv  # noqa: F401

    from fauds.captions import Style
    from fauds.captions.tokens import without_frameworks
    from fauds.pipeline import Project
    from fauds.tables import store

    with without_frameworks():
        import spacy.lang.en  # noqa: F401

    with tempfile.TemporaryDirectory(dir=root.parent) as workdir:
        start = time.perf_counter()
        project = Project(Path(workdir), "bp4d")
        frames = project.frames(root)
        captions = project.captions(frames, Style(style=style))
        seconds = time.perf_counter() - start
        size = captions.path.stat().st_size / 1e6
        _print_measurement(seconds, store.row_count(captions.path), size)


def read(root: Path, style: str) -> None:
    """Read the columns that fauds reads, file by file, with pyarrow alone."""
    from pyarrow import csv

    from fauds.facs import AUS, au_number

    known = {0, *map(au_number, AUS)}
    start, rows = time.perf_counter(), 0
    for path in sorted((root / "AUCoding" / "AU_OCC").glob("*.csv")):
        with path.open("rb") as file:
            cells = file.readline().decode().strip().split(",")
        columns = [cell for cell in cells if int(cell) in known]
        options = csv.ConvertOptions(include_columns=columns)
        rows += len(csv.read_csv(path, convert_options=options))
    _print_measurement(time.perf_counter() - start, rows)


def loop(root: Path, style: str) -> None:
    """Render frames' templates one after another."""
    from fauds.captions import load
    from fauds.protocols.benchmark import benchmark

    aus, templates = benchmark("bp4d").aus, load()
    rows = _rows(root, aus)
    start = time.perf_counter()
    for sex, labels in rows:
        for au, active in zip(aus, labels, strict=True):
            templates.local(au, "active" if active else "inactive")
        templates.face([au for au, on in zip(aus, labels, strict=True) if on], sex)
    _print_measurement(time.perf_counter() - start, len(rows))


def _rows(root: Path, aus: list[str]) -> list[tuple[str, list[int]]]:
    """Return sex and labels of some frames, evenly spaced."""
    import numpy as np

    rows = []
    for path in sorted((root / "AUCoding" / "AU_OCC").glob("*.csv")):
        table = np.loadtxt(path, int, delimiter=",", skiprows=1)
        rows += [(path.name[0], [int(row[int(au[2:])]) for au in aus]) for row in table[::14]]
    return rows[:_SAMPLE]


def _print_measurement(seconds: float, frames: int, size: float = 0.0) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "frames": frames, "peak_mb": peak, "size_mb": size}))


def _measure(part: str, root: Path, style: str, times: int = 3) -> dict[str, float]:
    """Return the fastest of several runs of a part, each in a process of its own."""
    runs = []
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, __file__, "--style", style, "--measure", part, str(root)],
            check=True,
            capture_output=True,
            text=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: run["seconds"])


def _make_small(folder: Path) -> Path:
    from fauds.synthetic import release

    root = folder / "small"
    release.write(root, "bp4d", labels_only=True)
    shutil.rmtree(root / "AUCoding" / "AU_INT")
    return root


def _make_large(small: Path, frames: float, total: int) -> Path:
    root = small.parent / "large"
    (root / "AUCoding" / "AU_OCC").mkdir(parents=True)
    for file in small.glob("*.json"):
        os.link(file, root / file.name)
    for copy in range(-(-total // int(frames))):
        for path in (small / "AUCoding" / "AU_OCC").glob("*.csv"):
            subject, task = path.stem.split("_T")
            os.link(path, root / "AUCoding" / "AU_OCC" / f"{subject}_T{int(task) + 8 * copy}.csv")
    return root


def main() -> None:
    """Measure all parts and print the ratios beside their aims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--large", type=int, default=10_000_000, help="frames of the large release; 0 leaves it out"
    )
    parser.add_argument("--style", choices=["plain", "composed"], default="plain")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    style = arguments.style
    if arguments.measure:
        part, root = arguments.measure
        {"ours": ours, "read": read, "loop": loop}[part](Path(root), style)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = _make_small(Path(folder))
        own, bare, plain = (_measure(part, root, style) for part in ("ours", "read", "loop"))
        scaled = plain["seconds"] * own["frames"] / plain["frames"]
        print(f"ours   {own['frames']:>12,.0f} frames {own['seconds']:8.2f} s "
              f"peak {own['peak_mb']:.0f} MB, "
              f"captions.parquet {own['size_mb']:.1f} MB")  # fmt: skip
        print(f"read   {bare['frames']:>12,.0f} frames {bare['seconds']:8.2f} s")
        print(f"loop   {plain['frames']:>12,.0f} frames {plain['seconds']:8.2f} s, "
              f"for all {scaled:.1f} s")  # fmt: skip
        print(f"ours / read: {own['seconds'] / bare['seconds']:.2f} (aim: at most 4)")
        print(f"loop / ours: {scaled / own['seconds']:.0f} (aim: at least 20)")
        if arguments.large:
            large = _measure(
                "ours", _make_large(root, own["frames"], arguments.large), style, times=1
            )
            print(f"ours   {large['frames']:>12,.0f} frames {large['seconds']:8.2f} s "
                  f"peak {large['peak_mb']:.0f} MB (aim: at most 600)")  # fmt: skip
            ratio = (large["frames"] / large["seconds"]) / (own["frames"] / own["seconds"])
            print(f"rate at {large['frames'] / 1e6:.1f} M / rate at BP4D size: {ratio:.2f} "
                  "(aim: at least 0.8)")  # fmt: skip


if __name__ == "__main__":
    main()
