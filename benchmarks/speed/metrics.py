"""How long do F1 and accuracy with resampled subjects take, at BP4D's size?

    OMP_NUM_THREADS=1 python benchmarks/speed/metrics.py

146,847 frames of 41 subjects and 12 AUs, 1,000 resamples of subjects, both figures. The plain way,
which gathers and counts the frames of every resample anew, does a few of them in the same run; its
time for all is that times the rest. Both give the same figures, which is checked. Beside them: the
default interval, and the paired comparison of two models with 10,000 permutations.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from fauds.metrics import occurrence
from fauds.metrics.comparison import compare
from fauds.metrics.intervals import intervals
from fauds.metrics.resampling import draw, estimates

_FRAMES, _SUBJECTS, _AUS = 146_847, 41, 12
_FIGURES = (occurrence.f1, occurrence.accuracy)


def made_up(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels and probabilities [N, A], each frame's subject [N], and each subject's fold [G]."""
    rng = np.random.default_rng(seed)
    who = np.sort(rng.integers(0, _SUBJECTS, _FRAMES))
    labels = (rng.random((_FRAMES, _AUS)) < 0.3).astype(np.int8)
    labels[rng.random(labels.shape) < 0.01] = -1
    probabilities = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.25, labels.shape), 0, 1)
    return labels, probabilities.astype(np.float32), who, np.repeat([1, 2, 3], (14, 14, 13))


def plain(labels, decisions, who, folds, weights) -> np.ndarray:
    """Both figures, mean of folds, of every resample: its frames gathered and counted."""
    rows = [np.flatnonzero(who == subject) for subject in range(_SUBJECTS)]
    found = []
    for times in weights.astype(int):
        of_folds = []
        for fold in np.unique(folds):
            drawn = np.repeat(np.arange(_SUBJECTS), np.where(folds == fold, times, 0))
            at = np.concatenate([rows[subject] for subject in drawn])
            counts = occurrence.count(labels[at], decisions[at])
            of_folds.append([figure(counts) for figure in _FIGURES])
        found.append(np.mean(of_folds, axis=0))
    return np.array(found)


def fast(labels, decisions, who, folds, weights) -> np.ndarray:
    """The same from the subjects' counts."""
    counts = occurrence.count_by(labels, decisions, who, _SUBJECTS)
    found = [estimates(weights, counts, folds, f, "mean_of_folds")[:, :-1] for f in _FIGURES]
    return np.stack(found, axis=1)


def timed(work: Callable[[], object], times: int = 1) -> tuple[float, object]:
    """The best of several seconds, and what came of it."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - start)
    return best, found


def main() -> None:
    """Measure both ways and print seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--plain", type=int, default=10, help="resamples counted the plain way")
    options = parser.parse_args()
    labels, probabilities, who, folds = made_up(0)
    decisions = occurrence.decide(probabilities, 0.5)

    def all_resamples() -> np.ndarray:
        weights = draw(folds, options.resamples, 0)
        return fast(labels, decisions, who, folds, weights)

    few = draw(folds, options.resamples, 0)[: options.plain]
    slow_seconds, slow = timed(lambda: plain(labels, decisions, who, folds, few))
    seconds, quick = timed(all_resamples, 3)
    if not np.allclose(quick[: options.plain], slow, rtol=0, atol=1e-12):
        raise SystemExit("the two ways do not agree")
    whole = slow_seconds * options.resamples / options.plain
    print(f"{_FRAMES:,} frames, {_AUS} AUs, F1 and accuracy, {options.resamples:,} resamples")
    print(f"from subjects' counts: {seconds:.2f} s (aim: at most 2)")
    print(f"frames counted anew:   {whole:.0f} s (from {options.plain} resamples), "
          f"{whole / seconds:.0f} times as long")  # fmt: skip

    counts = occurrence.count_by(labels, decisions, who, _SUBJECTS)
    other = occurrence.count_by(labels, occurrence.decide(probabilities, 0.45), who, _SUBJECTS)
    default, _ = timed(lambda: intervals(counts, folds, occurrence.f1, estimand="mean_of_folds"))
    paired, _ = timed(
        lambda: compare(counts, other, folds, occurrence.f1, estimand="mean_of_folds")
    )
    print(f"default interval of F1: {default:.3f} s; comparison of two models: {paired:.2f} s")


if __name__ == "__main__":
    main()
