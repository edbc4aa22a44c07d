"""Measure how long F1 and accuracy with resampled subjects take, at the size of BP4D.

    OMP_NUM_THREADS=1 python benchmarks/speed/metrics.py

The data are 146,847 frames of 41 subjects and 12 AUs, with 1,000 resamples of subjects. A plain
implementation, which gathers and counts the frames of every resample again, does a few resamples in
the same run; its time for all of them is extrapolated. The script checks that both give the same
figures. It also measures the default interval, and the paired comparison of two models with 10,000
permutations.
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


def simulate(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and probabilities [N, A], each frame's subject [N], each subject's fold [G]."""
    rng = np.random.default_rng(seed)
    subjects = np.sort(rng.integers(0, _SUBJECTS, _FRAMES))
    labels = (rng.random((_FRAMES, _AUS)) < 0.3).astype(np.int8)
    labels[rng.random(labels.shape) < 0.01] = -1
    probabilities = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.25, labels.shape), 0, 1)
    return labels, probabilities.astype(np.float32), subjects, np.repeat([1, 2, 3], (14, 14, 13))


def plain(labels, decisions, subjects, folds, weights) -> np.ndarray:
    """Return both figures of every resample, [R, 2, A], by counting its frames again."""
    rows = [np.flatnonzero(subjects == subject) for subject in range(_SUBJECTS)]
    figures = []
    for times in weights.astype(int):
        of_folds = []
        for fold in np.unique(folds):
            resampled = np.repeat(np.arange(_SUBJECTS), np.where(folds == fold, times, 0))
            at = np.concatenate([rows[subject] for subject in resampled])
            counts = occurrence.count(labels[at], decisions[at])
            of_folds.append([figure(counts) for figure in _FIGURES])
        figures.append(np.mean(of_folds, axis=0))
    return np.array(figures)


def fast(labels, decisions, subjects, folds, weights) -> np.ndarray:
    """Return the same figures as `plain`, from the subjects' counts."""
    counts = occurrence.count_by(labels, decisions, subjects, _SUBJECTS)
    figures = [estimates(weights, counts, folds, f, "mean_of_folds")[:, :-1] for f in _FIGURES]
    return np.stack(figures, axis=1)


def timed(work: Callable[[], object], times: int = 1) -> tuple[float, object]:
    """Return the shortest time of several calls in seconds, and the result of the last one."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def main() -> None:
    """Measure both implementations and print their times and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1000, help="number of resamples")
    parser.add_argument(
        "--plain", type=int, default=10, help="resamples of the plain implementation"
    )
    options = parser.parse_args()
    labels, probabilities, subjects, folds = simulate(0)
    decisions = occurrence.decide(probabilities, 0.5)

    def all_resamples() -> np.ndarray:
        weights = draw(folds, options.resamples, 0)
        return fast(labels, decisions, subjects, folds, weights)

    few = draw(folds, options.resamples, 0)[: options.plain]
    slow_seconds, slow = timed(lambda: plain(labels, decisions, subjects, folds, few))
    seconds, quick = timed(all_resamples, 3)
    if not np.allclose(quick[: options.plain], slow, rtol=0, atol=1e-12):
        raise SystemExit("the two implementations do not agree")
    whole = slow_seconds * options.resamples / options.plain
    print(f"{_FRAMES:,} frames, {_AUS} AUs, F1 and accuracy, {options.resamples:,} resamples")
    print(f"from subjects' counts: {seconds:.2f} s (aim: at most 2)")
    print(f"frames counted anew:   {whole:.0f} s (from {options.plain} resamples), "
          f"{whole / seconds:.0f} times as long")  # fmt: skip

    counts = occurrence.count_by(labels, decisions, subjects, _SUBJECTS)
    other = occurrence.count_by(labels, occurrence.decide(probabilities, 0.45), subjects, _SUBJECTS)
    default, _ = timed(lambda: intervals(counts, folds, occurrence.f1, estimand="mean_of_folds"))
    paired, _ = timed(
        lambda: compare([counts], [other], folds, occurrence.f1, estimand="mean_of_folds")
    )
    print(f"default interval of F1: {default:.3f} s; comparison of two models: {paired:.2f} s")


if __name__ == "__main__":
    main()
