"""The five settings of the paper's Table 4 on drawn faces, several seeds, with intervals.

    python benchmarks/studies/table4.py --seeds 3

Preset `tiny` with the switches of `baseline`, `marl`, `marl-llga`, `marl-glga` and `full`, each
run through ``fauds bench`` on the same folds. Intervals are 95 % of Student's t over the seeds:
the noise of training alone, on these drawn people. What differs between two settings is compared
seed by seed. Runs that are there already are taken as they are.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats

SETTINGS = {
    "baseline": (False, False, False),
    "marl": (True, False, False),
    "marl-llga": (True, True, False),
    "marl-glga": (True, False, True),
    "full": (True, True, True),
}
"""Multi-level branches, local descriptions, global description."""
SWITCHES = ("multi_level", "local_language", "global_language")


def changes(setting: str, seed: int, more: tuple[str, ...]) -> list[str]:
    """The ``--set`` values of one run."""
    switches = zip(SWITCHES, SETTINGS[setting], strict=True)
    model = [f"model.{name}={str(on).lower()}" for name, on in switches]
    return [*model, f"training.seed={seed}", *more]


def results_of(wanted: list[str], workdir: Path) -> dict | None:
    """The results of the run with these changes; None where there is none yet."""
    for path in sorted(workdir.glob("synthetic/runs/*/results.json")):
        results = json.loads(path.read_text())
        # At the end, so that seed 1 is not seed 10, nor a run with more changes.
        if results["command"].endswith(f"--set {' --set '.join(wanted)}"):
            return results
    return None


def bench(wanted: list[str], workdir: Path) -> None:
    """Run ``fauds bench`` with these changes."""
    words = [sys.executable, "-m", "fauds", "bench", "vlfau", "--workdir", str(workdir)]
    for change in wanted:
        words += ["--set", change]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half the 95 % interval of Student's t."""
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), stats.t.ppf(0.975, len(values) - 1) * spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("fauds-work"))
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    f1: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for seed in range(options.seeds):
        for setting, values in f1.items():
            wanted = changes(setting, seed, tuple(options.more))
            found = results_of(wanted, options.workdir)
            if found is None:
                bench(wanted, options.workdir)
                found = results_of(wanted, options.workdir)
            values.append(100 * found["summary"]["f1"])
            print(f"seed {seed}  {setting:10s} F1 {values[-1]:5.1f}", flush=True)
    show({setting: np.array(values) for setting, values in f1.items()})


def show(f1: dict[str, np.ndarray]) -> None:
    print("| setting | F1 %, mean of seeds ± half the 95 % interval | less baseline |")
    print("|---|---|---|")
    for setting, values in f1.items():
        mean, half = interval(values)
        gain, gain_half = interval(values - f1["baseline"])
        less = "" if setting == "baseline" else f"{gain:+.1f} ± {gain_half:.1f}"
        print(f"| {setting} | {mean:.1f} ± {half:.1f} | {less} |")


if __name__ == "__main__":
    main()
