"""Measure what seeds and wrong labels of one sex do to results, on synthetic faces.

    python benchmarks/studies/sex_flip.py --workdir WORKDIR

The study writes a synthetic release in BP4D's layout, trains preset `tiny` without descriptions
on it with each seed, and compares the seeds by ``fauds compare``. Then it inverts 15 % of the
labels of all women and scores the first seed's predictions on these labels: in the table by
sex, the women's F1 should leave its former interval, and the men's should not change. Last, it
trains the first seed on the wrong labels too. Runs that exist already are not repeated.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

SHARE = 0.15
SWITCHES = ("multi_level", "local_language", "global_language")


def fauds(*words: object) -> str:
    """Run a command of fauds and return its output, or its error message."""
    command = [sys.executable, "-m", "fauds", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return done.stdout or done.stderr


def flip(raw: Path, out: Path) -> None:
    """Copy raw files with `SHARE` of the women's labels inverted."""
    shutil.copytree(raw, out, copy_function=os.link, ignore=shutil.ignore_patterns("AU_INT"))
    rng = np.random.default_rng(0)
    for path in sorted(out.glob("AUCoding/AU_OCC/F*.csv")):
        head, *lines = path.read_text().splitlines()
        codes = np.array([line.split(",") for line in lines], np.int64)
        labels = codes[:, 1:]
        inverted = (labels <= 1) & (rng.random(labels.shape) < SHARE)
        labels[inverted] = 1 - labels[inverted]
        # The copy is a hard link: writing to it would change the original.
        path.unlink()
        path.write_text("\n".join([head, *(",".join(map(str, row)) for row in codes)]) + "\n")


def bench(raw: Path, workdir: Path, seed: int, more: list[str]) -> Path:
    """Train and test with one seed, unless the run exists; return its folder."""
    changes = [f"training.seed={seed}", *(f"model.{name}=false" for name in SWITCHES), *more]
    ending = " ".join(f"--set {change}" for change in changes)
    for _ in range(2):
        for path in sorted(workdir.glob("synthetic/runs/*/results.json")):
            if json.loads(path.read_text())["command"].endswith(ending):
                return path.parent
        words = [word for change in changes for word in ("--set", change)]
        fauds("bench", "vlfau", "--root", raw, "--workdir", workdir, *words)
    sys.exit(f"{workdir}: no results")


def rescored(run: Path, raw: Path, workdir: Path) -> Path:
    """Score a run's predictions on the labels of other raw files; return the new run's folder."""
    options = ("--dataset", "bp4d", "--workdir", workdir)
    fauds("build-captions", *options, "--root", raw)
    fauds("split", *options)
    tables = [pq.read_table(path) for path in sorted(run.glob("fold*/predictions.parquet"))]
    kept = ["subject", "task", "frame", *(n for n in tables[0].schema.names if n[2:].isdigit())]
    predictions = workdir / "predictions.csv"
    csv.write_csv(pa.concat_tables(tables).select(kept), predictions)
    fauds("score", predictions, *options)
    return max(workdir.glob("bp4d/runs/score-*"), key=lambda path: path.stat().st_mtime)


def by_sex(run: Path) -> dict[str, tuple[float, float, float]]:
    """Return the mean F1 of women ("F") and men ("M") in %: value, low and high."""
    rows = json.loads((run / "results.json").read_text())["metrics"]
    return {
        row["group"]: tuple(100 * row[name] for name in ("value", "low", "high"))
        for row in rows
        if (row["metric"], row["scope"], row["au"]) == ("f1", "sex", None)
    }


def main() -> None:
    """Run what is missing and print the table and the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the study")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds")
    parser.add_argument("--frames", type=int, default=24, help="coded frames per subject")
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE",
                        help="change another setting of all runs")  # fmt: skip
    options = parser.parse_args()
    raw, flipped = options.workdir / "raw", options.workdir / "raw-flipped"
    if not raw.exists():
        fauds("synth", raw, "--like", "bp4d", "--frames", options.frames, "--seed", 5)
    if not flipped.exists():
        flip(raw, flipped)
    runs = {
        f"seed {seed}": bench(raw, options.workdir / "true", seed, options.more)
        for seed in range(options.seeds)
    }
    other = bench(flipped, options.workdir / "flipped", 0, options.more)
    wrong = f"seed 0, {SHARE:.0%} of the women's labels wrong"
    shown = {
        **runs,
        f"{wrong} where it is scored": rescored(runs["seed 0"], flipped, options.workdir / "wrong"),
        f"{wrong} throughout": other,
    }
    print("| run | women: F1 %, 95 % interval | men |")
    print("|---|---|---|")
    for name, run in shown.items():
        cells = ["{:.1f}, {:.1f} to {:.1f}".format(*by_sex(run)[sex]) for sex in "FM"]
        print(f"| {name} | {' | '.join(cells)} |")
    for (one, a), (two, b) in combinations(runs.items(), 2):
        comparison = fauds("compare", a, b, "--json", "-")
        print(f"{one} and {two}: {json.loads(comparison)['verdict'][0]}")
    print(f"true and wrong labels: {fauds('compare', runs['seed 0'], other).strip()}")


if __name__ == "__main__":
    main()
