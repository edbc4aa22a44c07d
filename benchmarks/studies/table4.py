"""Train the five settings of the paper's Table 4 on synthetic faces with several seeds.

    python benchmarks/studies/table4.py --seeds 3

Preset `tiny` with the switches of `baseline`, `marl`, `marl-llga`, `marl-glga` and `full`, each
run through ``fauds bench`` on the same folds. The 95 % intervals are those of Student's t over the
seeds: they cover the noise of training alone, on these synthetic subjects. Two settings are
compared seed by seed. Runs that exist already are not repeated.
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
"""By setting: the values of `SWITCHES`."""
SWITCHES = ("multi_level", "local_language", "global_language")


def changes(setting: str, seed: int, more: tuple[str, ...]) -> list[str]:
    """Return the ``--set`` values of one run."""
    switches = zip(SWITCHES, SETTINGS[setting], strict=True)
    model = [f"model.{name}={str(on).lower()}" for name, on in switches]
    return [*model, f"training.seed={seed}", *more]


def results_of(changed: list[str], workdir: Path) -> dict | None:
    """Return the results of the run with these changed settings; None if it does not exist yet."""
    for path in sorted(workdir.glob("synthetic/runs/*/results.json")):
        results = json.loads(path.read_text())
        # Compare the end of the command: seed 1 is not seed 10, nor a run with more changes.
        if results["command"].endswith(f"--set {' --set '.join(changed)}"):
            return results
    return None


def bench(changed: list[str], workdir: Path) -> None:
    """Run ``fauds bench`` with these changed settings."""
    words = [sys.executable, "-m", "fauds", "bench", "vlfau", "--workdir", str(workdir)]
    for change in changed:
        words += ["--set", change]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and half the width of the 95 % interval of Student's t."""
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), stats.t.ppf(0.975, len(values) - 1) * spread


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--workdir", type=Path, default=Path("fauds-work"), help="workdir of fauds")
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE",
                        help="change another setting of all runs")  # fmt: skip
    options = parser.parse_args()
    f1: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for seed in range(options.seeds):
        for setting, values in f1.items():
            changed = changes(setting, seed, tuple(options.more))
            results = results_of(changed, options.workdir)
            if results is None:
                bench(changed, options.workdir)
                results = results_of(changed, options.workdir)
            values.append(100 * results["summary"]["f1"])
            print(f"seed {seed}  {setting:10s} F1 {values[-1]:5.1f}", flush=True)
    show({setting: np.array(values) for setting, values in f1.items()})


def show(f1: dict[str, np.ndarray]) -> None:
    """Print a table of F1 in % by setting; `f1` holds one value per seed."""
    print("| setting | F1 %, mean of seeds ± half the 95 % interval | less baseline |")
    print("|---|---|---|")
    for setting, values in f1.items():
        mean, half = interval(values)
        gain, gain_half = interval(values - f1["baseline"])
        less = "" if setting == "baseline" else f"{gain:+.1f} ± {gain_half:.1f}"
        print(f"| {setting} | {mean:.1f} ± {half:.1f} | {less} |")


if __name__ == "__main__":
    main()
