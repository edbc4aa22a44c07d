"""How often does a nominal 95 % interval of F1 or accuracy hold the true value?

    python benchmarks/studies/coverage.py --replications 2000 --resamples 1000

Test sets are drawn anew, with BP4D's and DISFA's subjects, folds, frames a subject, occurrence
rates, spread between subjects and lengths of runs (benchmarks/label_statistics.json says where
these were published). What is assumed about the classifier is in `Population`. The true value is
what the protocol gives on new subjects: the mean of the figure over 20,000 other test sets of the
same folds and numbers of subjects. Beside the coverage of every method stand the two-sided test's
false alarms and the coverage of the difference of two models (`--only compare`).
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fauds import resources
from fauds.metrics import occurrence, resampling
from fauds.metrics.comparison import compare
from fauds.metrics.intervals import Interval, intervals
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import Additive, estimates
from fauds.synthetic.population import statistics

# The dataset whose figures are taken, and the subjects of the published folds.
CASES = {
    "bp4d": ("bp4d", (14, 14, 13)),
    "disfa": ("disfa", (9, 9, 9)),
    "bp4d-men": ("bp4d", (6, 8, 4)),
}
STATISTICS: dict[str, Callable] = {"F1": occurrence.f1, "accuracy": occurrence.accuracy}
ESTIMANDS = ("mean_of_folds", "pooled")

# The published row whose F1 the classifier's mean sensitivity is set to.
_ROW = "VL-FAU"
# Beta distributions of sensitivity and false-positive rate over subjects: a + b. At a mean of
# 0.65, 8 is a standard deviation of 0.16 between subjects.
_CONCENTRATION = 8.0
# Correlation between AUs of a subject's sensitivities (and, apart, false-positive rates).
_SHARED = 0.3
_TRUTH, _GRID, _BLOCK = 20_000, 4096, 500


@dataclass(frozen=True)
class Population:
    """What subjects are drawn from. G subjects, A action units.

    A subject's occurrence rates are beta distributed with the published mean and standard
    deviation over subjects, and correlate over AUs as the published labels do. Sensitivity and
    false-positive rate vary over subjects; their means give precision and recall the published
    F1. Decisions are right or wrong together in blocks as long as the AU's median active run.

    Attributes:
        folds: int [G]; frames: int [G].
        rates, sensitivity, false_positives: their quantiles over subjects, [A, 4096].
        block: frames that are decided alike, [A].
        mixing: [A, A], turns independent normals into rates' correlated ones.
    """

    aus: tuple[str, ...]
    folds: np.ndarray
    frames: np.ndarray
    rates: np.ndarray
    sensitivity: np.ndarray
    false_positives: np.ndarray
    block: np.ndarray
    mixing: np.ndarray

    def draw(self, rng: np.random.Generator, size: int, models: int = 1) -> list[Counts]:
        """Draw test sets [size, G, A], decided by models that differ by chance alone."""
        shape = (size, len(self.folds), len(self.aus))
        rate = self._look_up(self.rates, rng.standard_normal(shape) @ self.mixing.T)
        active = np.rint(rate * self.frames[:, None]).astype(np.int64)
        inactive = self.frames[:, None] - active
        hardness = [_shared(rng, shape) for _ in range(2)]
        return [self._decide(rng, active, inactive, hardness, models) for _ in range(models)]

    def _decide(self, rng, active, inactive, hardness, models) -> Counts:
        own = 0.5 if models > 1 else 0.0
        hits, alarms = (
            np.sqrt(1 - own) * shared + np.sqrt(own) * _shared(rng, shared.shape)
            for shared in hardness
        )
        tp = self._blocks(rng, active, self._look_up(self.sensitivity, hits))
        fp = self._blocks(rng, inactive, self._look_up(self.false_positives, alarms))
        return Counts(tp=tp, fp=fp, fn=active - tp, tn=inactive - fp)

    def _blocks(self, rng, frames: np.ndarray, chance: np.ndarray) -> np.ndarray:
        blocks = np.ceil(frames / self.block).astype(np.int64)
        share = rng.binomial(blocks, chance) / np.maximum(blocks, 1)
        return np.rint(share * frames).astype(np.int64)

    def _look_up(self, quantiles: np.ndarray, normal: np.ndarray) -> np.ndarray:
        place = np.minimum((stats.norm.cdf(normal) * _GRID).astype(np.int64), _GRID - 1)
        return quantiles[np.arange(len(self.aus)), place]


def _shared(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw normals that correlate by `_SHARED` over the last axis."""
    common = rng.standard_normal((*shape[:-1], 1))
    return np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * rng.standard_normal(shape)


def _betas(mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    at = (np.arange(_GRID) + 0.5) / _GRID
    a, b = mean * concentration, (1 - mean) * concentration
    return stats.beta.ppf(at, a[:, None], b[:, None])


def population(case: str, concentration: float) -> Population:
    """Return the population that a dataset's published figures describe."""
    like, sizes = CASES[case]
    known = statistics(like)
    aus = tuple(known.get("benchmark_aus", known["aus"]))
    at = [known["aus"].index(au) for au in aus]
    rate, spread = (np.array(known[k])[at] for k in ("occurrence_rate", "subject_rate_sd"))
    f1 = _published_f1(like, aus)
    fixed = np.full(len(aus), concentration)
    correlation = np.array(known["latent_correlation"])[np.ix_(at, at)]
    runs = known["active_run_length_frames"]
    return Population(
        aus=aus,
        folds=np.repeat([1, 2, 3], sizes),
        # The men come last in BP4D's order.
        frames=np.array(list(known["frames_per_subject"].values()))[-sum(sizes) :],
        rates=_betas(rate, rate * (1 - rate) / spread**2 - 1),
        sensitivity=_betas(f1, fixed),
        false_positives=_betas(rate * (1 - f1) / (1 - rate), fixed),
        block=np.array([runs[au]["median"] for au in aus]),
        mixing=np.linalg.cholesky(correlation + 1e-9 * np.eye(len(aus))),
    )


def _published_f1(like: str, aus: tuple[str, ...]) -> np.ndarray:
    with resources.path("benchmarks", "published", f"{like}.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "F1"]
    found = {row["au"]: row["value_percent"] for row in rows if row["method"] == _ROW}
    return np.array([float(found[au]) / 100 for au in aus])


def truth(people: Population, rng: np.random.Generator) -> dict[tuple[str, str], np.ndarray]:
    """Return the mean over many test sets of every figure, [A + 1]."""
    sums: dict[tuple[str, str], list[np.ndarray]] = {}
    for _ in range(_TRUTH // _BLOCK):
        (counts,) = people.draw(rng, _BLOCK)
        for name, statistic in STATISTICS.items():
            for estimand in ESTIMANDS:
                found = _of_test_sets(counts, people.folds, statistic, estimand)
                sums.setdefault((name, estimand), []).append(found)
    return {key: np.nanmean(np.concatenate(found), axis=0) for key, found in sums.items()}


def _of_test_sets(counts: Counts, folds: np.ndarray, statistic, estimand: str) -> np.ndarray:
    """Return a figure of every test set [R, A + 1] from counts [R, G, A]."""
    once = np.ones((1, len(folds)))
    each = range(len(counts.tp))
    return np.concatenate(
        [estimates(once, _one(counts, i), folds, statistic, estimand) for i in each]
    )


def _one(counts: Counts, i: int) -> Counts:
    return Counts(counts.tp[i], counts.fp[i], counts.fn[i], counts.tn[i])


class Bootstrap:
    """Resamples of the subjects of one test set, drawn within their fold, and their figures.

    `scipy.stats.bootstrap` takes one figure at a time, and a resample in which it is undefined
    makes its interval undefined; here all AUs share the resamples, and those are left out.
    """

    def __init__(
        self, counts: Additive, folds: np.ndarray, statistic, estimand, resamples: int, seed: int
    ) -> None:
        self._arguments = (counts, folds, statistic, estimand)
        self.strata = resampling.strata_of(folds, estimand)
        self.value = self._figures(np.ones((1, len(folds))))[0]
        self.drawn = self._figures(resampling.draw(self.strata, resamples, seed))

    def _figures(self, weights: np.ndarray) -> np.ndarray:
        return estimates(weights, *self._arguments)

    def interval(self, low: np.ndarray | float, high: np.ndarray | float) -> Interval:
        """Return the resamples' quantiles; NaN where subjects show no spread."""
        ends = [_quantile(self.drawn, np.broadcast_to(at, self.value.shape)) for at in (low, high)]
        shown = (ends[1] > ends[0]) & ~resampling.has_single(self.strata)
        return Interval(self.value, *(np.where(shown, end, np.nan) for end in ends))

    def skewness(self) -> np.ndarray:
        """Return the acceleration of BCa, from leaving out each subject, [A + 1]."""
        left = self._figures(resampling.leave_one_out(len(self.strata)))
        cubes = squares = np.zeros_like(self.value)
        for stratum in np.unique(self.strata):
            part = left[self.strata == stratum]
            influence = (len(part) - 1) * (part.mean(axis=0) - part) / len(part)
            cubes = cubes + (influence**3).sum(axis=0)
            squares = squares + (influence**2).sum(axis=0)
        return np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)


def _quantile(drawn: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return a quantile of every column [A + 1], undefined resamples left out."""
    ordered = np.sort(drawn, axis=0)
    last = (~np.isnan(drawn)).sum(axis=0) - 1
    place = np.clip(np.nan_to_num(at) * last, 0, np.maximum(last, 0))
    lower, upper = (
        np.take_along_axis(ordered, near(place).astype(np.int64)[None], axis=0)[0]
        for near in (np.floor, np.ceil)
    )
    return lower + (place - np.floor(place)) * (upper - lower)


def percentile(counts, folds, statistic, estimand, resamples=1000, seed=0, level=0.95) -> Interval:
    """The middle `level` of the resamples' figures."""
    tail = (1 - level) / 2
    return Bootstrap(counts, folds, statistic, estimand, resamples, seed).interval(tail, 1 - tail)


def bca(counts, folds, statistic, estimand, resamples=1000, seed=0, level=0.95) -> Interval:
    """Percentiles corrected for bias and skewness (Efron, 1987), subjects stratified by fold."""
    boot = Bootstrap(counts, folds, statistic, estimand, resamples, seed)
    below = (boot.drawn < boot.value).mean(axis=0) + (boot.drawn == boot.value).mean(axis=0) / 2
    shift = stats.norm.ppf(np.clip(below, 1 / resamples, 1 - 1 / resamples))
    skewness = boot.skewness()
    moved = [shift + stats.norm.ppf(tail) for tail in ((1 - level) / 2, (1 + level) / 2)]
    return boot.interval(*(stats.norm.cdf(shift + m / (1 - skewness * m)) for m in moved))


def jackknife_t(counts, folds, statistic, estimand, resamples=1000, seed=0) -> Interval:
    """The method of fauds, which draws nothing."""
    return intervals(counts, folds, statistic, estimand=estimand)


METHODS: dict[str, Callable[..., Interval]] = {
    "jackknife_t": jackknife_t,
    "percentile": percentile,
    "bca": bca,
}


def study_intervals(people: Population, replications: int, resamples: int, seed: int) -> None:
    """Print the coverage and width of every method."""
    rng = np.random.default_rng(seed)
    true = truth(people, rng)
    print(f"true F1 {100 * true['F1', 'mean_of_folds'].round(3)}")
    (drawn,) = people.draw(rng, replications)
    print(
        "| figure | estimand | method | AUs: min | median | max | mean over AUs | width | of mean |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, estimand), aim in true.items():
        for method in METHODS:
            found = [
                METHODS[method](_one(drawn, i), people.folds, STATISTICS[name], estimand,
                                resamples, seed=i)
                for i in range(replications)
            ]  # fmt: skip
            low, high = (np.stack([getattr(f, end) for f in found]) for end in ("low", "high"))
            missing = np.isnan(low)
            held = np.where(missing, np.nan, (low <= aim) & (aim <= high))
            share, width = np.nanmean(held, axis=0), np.nanmean(high - low, axis=0)
            print(f"| {name} | {estimand} | {method} | {_spread(100 * share[:-1])} | "
                  f"{100 * share[-1]:.1f} | {100 * np.median(width[:-1]):.1f} | "
                  f"{100 * width[-1]:.1f} |", flush=True)  # fmt: skip
            if name == "F1" and estimand == "mean_of_folds":
                named = zip(people.aus, 100 * share, strict=False)
                print(f"<!-- {' '.join(f'{au} {s:.1f}' for au, s in named)} -->")


def study_comparison(people: Population, replications: int, resamples: int, seed: int) -> None:
    """Print false alarms at 0.05 and coverage of the difference, for two equally good models."""
    a, b = people.draw(np.random.default_rng(seed), replications, models=2)
    print("| figure | estimand | | AUs: min | median | max | mean over AUs |")
    print("|---|---|---|---|---|---|---|")
    for name, statistic in STATISTICS.items():
        for estimand in ESTIMANDS:
            found = [
                compare(_one(a, i), _one(b, i), people.folds, statistic, estimand=estimand,
                        resamples=resamples, permutations=999, seed=i)
                for i in range(replications)
            ]  # fmt: skip
            alarms = 100 * np.mean([f.p <= 0.05 for f in found], axis=0)
            held = 100 * np.mean([(f.low <= 0) & (f.high >= 0) for f in found], axis=0)
            for what, share in (("p <= 0.05", alarms), ("interval holds 0", held)):
                print(f"| {name} | {estimand} | {what} | {_spread(share[:-1])} | "
                      f"{share[-1]:.1f} |", flush=True)  # fmt: skip


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.1f} | {np.median(values):.1f} | {values.max():.1f}"


def main() -> None:
    """Run the study for both datasets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--concentration", type=float, default=_CONCENTRATION,
                        help="of sensitivity and false-positive rate over subjects")  # fmt: skip
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--only", choices=("intervals", "compare"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for case in options.case or CASES:
        people = population(case, options.concentration)
        print(f"\n{case}: {len(people.folds)} subjects, {options.replications} replications")
        arguments = (people, options.replications, options.resamples, options.seed)
        if options.only != "compare":
            study_intervals(*arguments)
        if options.only != "intervals":
            study_comparison(*arguments)


if __name__ == "__main__":
    main()
