"""Train au-cues with several weights of the AU term, or with several aligned layers.

    python benchmarks/studies/au_cues.py lambda
    python benchmarks/studies/au_cues.py layers

These are the ablations of the paper (arXiv:2402.00281) on the synthetic faces of
``fauds bench au-cues``, with preset `tiny`. Every run goes through ``fauds bench``, and those that
exist already are not repeated. ``ceiling`` prints instead what an attention that equals the AU map
would score at each resolution.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from fauds.facs import AUS
from fauds.nn.layers.au_map import au_map, codebook_table
from fauds.nn.layers.map_agreement import agreement, au_regions
from fauds.protocols.benchmark import benchmark
from fauds.settings import read_yaml
from fauds.tables import store

VALUES = {
    "lambda": [f"model.cue_weight={weight}" for weight in (0, 1, 3, 9, 20)],
    "layers": [f"model.layer={layer}" for layer in (1, 2, 3, 4, 5)],
}
"""The changes of settings of each study."""

METRICS = ("accuracy", "att_cos", "cam_cos", "att_inside", "cam_inside", "att_pointing")


def results_of(changes: list[str], workdir: Path) -> dict | None:
    """Return the results of the run with these changed settings; None if it does not exist yet."""
    for path in sorted(workdir.glob("synthetic-rafdb/runs/*/results.json")):
        saved = read_yaml(path.parent / "settings.yaml")
        if saved["model"] == "au-cues" and saved["changes"] == changes:
            return json.loads(path.read_text())
    return None


def trained(changes: list[str], workdir: Path) -> dict:
    """Return the results of the run with these changed settings, which is run if it is missing."""
    results = results_of(changes, workdir)
    if results is None:
        words = [sys.executable, "-m", "fauds", "bench", "au-cues", "--dataset", "synthetic-rafdb"]
        words += ["--workdir", str(workdir)]
        for change in changes:
            words += ["--set", change]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        results = results_of(changes, workdir)
    return results


def ceiling(workdir: Path) -> None:
    """Print what an attention scores that equals the AU map, by the size of the map."""
    tables = workdir / "synthetic-rafdb"
    classes = benchmark("synthetic-rafdb").target.names
    frames = store.read_table(tables / "frames.parquet").to_pandas()
    faces = store.read_table(tables / "faces.parquet", ["frame_id", "points"]).to_pandas()
    test = frames[frames["split"] == "test"].merge(faces, on="frame_id")
    size = int(benchmark("synthetic-rafdb").synthesis.size)
    points = torch.from_numpy(np.stack(test["points"]).reshape(-1, 68, 2).astype(np.float32))
    active = codebook_table(classes)[torch.tensor(test["expression"].astype(int).to_numpy())]
    regions = au_regions(points, active[:, None], size, AUS)
    print("| cells | inside | highest inside |\n|---|---:|---:|")
    for cells in (4, 7, 14, 28, 56):
        cues = au_map(points, active, cells, size)[:, None]
        found = agreement(cues, cues, regions)
        inside, pointing = (float(found[name].nanmean()) for name in ("inside", "pointing"))
        print(f"| {cells} x {cells} | {inside:.2f} | {pointing:.2f} |")


def main() -> None:
    """Run what is missing and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=[*VALUES, "ceiling"])
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--workdir", type=Path, default=Path("fauds-work"), help="workdir of fauds")
    options = parser.parse_args()
    if options.study == "ceiling":
        ceiling(options.workdir)
        return
    print(f"| setting | {' | '.join(METRICS)} |\n|---|{'---:|' * len(METRICS)}")
    for change in VALUES[options.study]:
        rows = []
        for seed in range(options.seeds):
            changes = [change, *([f"training.seed={seed}"] if seed else [])]
            summary = trained(changes, options.workdir)["summary"]
            rows.append([summary[name] for name in METRICS])
        cells = " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
        print(f"| `{change}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
