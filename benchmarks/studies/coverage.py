"""Measure how often a nominal 95 % interval of F1 or accuracy holds the true value.

    python benchmarks/studies/coverage.py --replications 2000 --resamples 1000

The study simulates test sets with the subjects, folds, frames per subject, occurrence rates,
spread between subjects and lengths of active runs of BP4D and DISFA
(benchmarks/label_statistics.json names the sources). `Population` states the assumptions about the
classifier. The true value is what the protocol gives on new subjects: the mean of the figure over
20,000 other test sets with the same folds and numbers of subjects.

`--only compare` measures, for two equally good models, the false alarms of the permutation test,
of its adjusted p-values, and the coverage of the interval of the difference. `--only verdict`
measures how often the verdict of `fauds compare` tells equally good methods apart whose training
seeds differ, and how often it finds a difference. `--folds 10` divides the subjects into ten folds;
`--folds 0` is leave-one-subject-out. `--method jackknife_t` leaves out the bootstrap intervals,
which take most of the time.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from fauds import resources
from fauds.metrics import occurrence, resampling
from fauds.metrics.comparison import DETECTABLE, compare, difference_interval
from fauds.metrics.intervals import Interval, intervals
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import ESTIMANDS, Additive, estimates
from fauds.synthetic.population import statistics

# The dataset with the published statistics, and the number of subjects in each published fold.
CASES = {
    "bp4d": ("bp4d", (14, 14, 13)),
    "disfa": ("disfa", (9, 9, 9)),
    "bp4d-men": ("bp4d", (6, 8, 4)),
}
STATISTICS: dict[str, Callable] = {"F1": occurrence.f1, "accuracy": occurrence.accuracy}

# The published method whose F1 per AU is the classifier's mean sensitivity.
_ROW = "VL-FAU"
# Beta distributions of sensitivity and false-positive rate over subjects: a + b. At a mean of
# 0.65, 8 is a standard deviation of 0.16 between subjects.
_CONCENTRATION = 8.0
# Correlation between AUs of a subject's sensitivities (and, apart, false-positive rates).
_SHARED = 0.3
# Shares of the variance of a model's sensitivities (and false-positive rates) over subjects: that
# any two models share, since some subjects are hard for both, and that runs of one method share.
_OF_SUBJECTS, _OF_METHOD = 0.5, 0.25
_TRUTH, _GRID, _BLOCK = 20_000, 4096, 500


@dataclass(frozen=True)
class Population:
    """The population from which subjects are sampled: G subjects, A action units.

    A subject's occurrence rates are beta distributed with the published mean and standard
    deviation over subjects, and correlate between AUs as the published labels do. Sensitivity and
    false-positive rate vary between subjects; their means give the published F1 as precision and
    recall. Decisions are right or wrong in whole blocks, as long as the AU's median active run.
    Of the variance of sensitivity over subjects, half is shared by all models and a quarter by the
    runs (training seeds) of one method; the rest is of each run alone.

    Attributes:
        aus: the names of the AUs.
        folds: the fold of each subject, int [G].
        frames: the number of frames of each subject, int [G].
        rates: quantiles of the occurrence rate over subjects, [A, 4096].
        sensitivity: quantiles of the sensitivity over subjects, [A, 4096].
        false_positives: quantiles of the false-positive rate over subjects, [A, 4096].
        block: the number of frames with the same decision, [A].
        mixing: the matrix that correlates independent normals as the rates do, [A, A].
        of_method: the share of the variance over subjects that runs of one method share besides
            what all models share, 0 to 0.5.
    """

    aus: tuple[str, ...]
    folds: np.ndarray
    frames: np.ndarray
    rates: np.ndarray
    sensitivity: np.ndarray
    false_positives: np.ndarray
    block: np.ndarray
    mixing: np.ndarray
    of_method: float

    def draw(
        self,
        rng: np.random.Generator,
        size: int,
        methods: Sequence[int] = (0,),
        shifts: np.ndarray | None = None,
    ) -> list[Counts]:
        """Sample test sets, counts [size, G, A], for runs that differ by chance alone.

        Args:
            rng: the source of random numbers.
            size: the number of test sets.
            methods: the number of each run's method.
            shifts: for each run and test set, what is added to the normal scores of the
                sensitivity of all subjects and AUs, [runs, size]; None for 0.
        """
        shape = (size, len(self.folds), len(self.aus))
        rate = self._look_up(self.rates, rng.standard_normal(shape) @ self.mixing.T)
        active = np.rint(rate * self.frames[:, None]).astype(np.int64)
        shared = _normals(rng, shape)
        of_methods = {method: _normals(rng, shape) for method in dict.fromkeys(methods)}
        shifts = np.zeros((len(methods), size)) if shifts is None else shifts
        own = 1 - _OF_SUBJECTS - self.of_method
        runs = []
        for method, shift in zip(methods, shifts, strict=True):
            hits, alarms = (
                np.sqrt(_OF_SUBJECTS) * shared
                + np.sqrt(self.of_method) * of_methods[method]
                + np.sqrt(own) * _normals(rng, shape)
            )
            runs.append(self._decide(rng, active, hits + shift[:, None, None], alarms))
        return runs

    def _decide(self, rng, active: np.ndarray, hits: np.ndarray, alarms: np.ndarray) -> Counts:
        inactive = self.frames[:, None] - active
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


def _normals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Sample normals for sensitivity and false-positive rate, [2, *shape].

    They correlate by `_SHARED` over the last axis.
    """
    common = rng.standard_normal((2, *shape[:-1], 1))
    return np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * rng.standard_normal((2, *shape))


def _betas(mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    at = (np.arange(_GRID) + 0.5) / _GRID
    a, b = mean * concentration, (1 - mean) * concentration
    return stats.beta.ppf(at, a[:, None], b[:, None])


def population(
    case: str,
    concentration: float = _CONCENTRATION,
    folds: int = 3,
    of_method: float = _OF_METHOD,
) -> Population:
    """Return the population with a dataset's published statistics.

    Args:
        case: the name of the case in `CASES`.
        concentration: a + b of the beta distributions over subjects.
        of_method: see `Population`.
        folds: 3 for the published folds; another number of folds of equal size; or 0 for
            leave-one-subject-out.
    """
    like, sizes = CASES[case]
    published = statistics(like)
    aus = tuple(published.get("benchmark_aus", published["aus"]))
    at = [published["aus"].index(au) for au in aus]
    rate, spread = (np.array(published[k])[at] for k in ("occurrence_rate", "subject_rate_sd"))
    f1 = _published_f1(like, aus)
    fixed = np.full(len(aus), concentration)
    correlation = np.array(published["latent_correlation"])[np.ix_(at, at)]
    runs = published["active_run_length_frames"]
    return Population(
        aus=aus,
        folds=_folds(sizes, folds),
        # The men are last in BP4D's order of subjects.
        frames=np.array(list(published["frames_per_subject"].values()))[-sum(sizes) :],
        rates=_betas(rate, rate * (1 - rate) / spread**2 - 1),
        sensitivity=_betas(f1, fixed),
        false_positives=_betas(rate * (1 - f1) / (1 - rate), fixed),
        block=np.array([runs[au]["median"] for au in aus]),
        mixing=np.linalg.cholesky(correlation + 1e-9 * np.eye(len(aus))),
        of_method=of_method,
    )


def _folds(sizes: tuple[int, ...], folds: int) -> np.ndarray:
    if folds == 3:
        return np.repeat([1, 2, 3], sizes)
    subjects = np.arange(sum(sizes))
    return 1 + (subjects if folds == 0 else subjects * folds // len(subjects))


def _published_f1(like: str, aus: tuple[str, ...]) -> np.ndarray:
    with resources.path("benchmarks", "published", f"{like}.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "F1"]
    percents = {row["au"]: row["value_percent"] for row in rows if row["method"] == _ROW}
    return np.array([float(percents[au]) / 100 for au in aus])


def truth(subjects: Population, rng: np.random.Generator) -> dict[tuple[str, str], np.ndarray]:
    """Return the mean of every figure over many test sets, [A + 1]: each AU, then their mean."""
    sums: dict[tuple[str, str], list[np.ndarray]] = {}
    for _ in range(_TRUTH // _BLOCK):
        (counts,) = subjects.draw(rng, _BLOCK)
        for name, statistic in STATISTICS.items():
            for estimand in ESTIMANDS:
                figures = _of_test_sets(counts, subjects.folds, statistic, estimand)
                sums.setdefault((name, estimand), []).append(figures)
    return {key: np.nanmean(np.concatenate(figures), axis=0) for key, figures in sums.items()}


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
    """The figures of resamples of one test set's subjects, stratified by fold.

    `scipy.stats.bootstrap` handles one figure at a time, and a resample in which the figure is
    undefined makes the interval undefined. Here all AUs share the resamples, and undefined ones are
    left out.
    """

    def __init__(
        self, counts: Additive, folds: np.ndarray, statistic, estimand, resamples: int, seed: int
    ) -> None:
        self._arguments = (counts, folds, statistic, estimand)
        self.strata = resampling.resampling_strata(folds, estimand)
        self.value = self._figures(np.ones((1, len(folds))))[0]
        self.resampled = self._figures(resampling.draw(self.strata, resamples, seed))

    def _figures(self, weights: np.ndarray) -> np.ndarray:
        return estimates(weights, *self._arguments)

    def interval(self, low: np.ndarray | float, high: np.ndarray | float) -> Interval:
        """Return quantiles of the resamples as an interval; NaN if subjects show no spread."""
        ends = [
            _quantile(self.resampled, np.broadcast_to(at, self.value.shape)) for at in (low, high)
        ]
        shown = (ends[1] > ends[0]) & ~resampling.has_single_subject(self.strata)
        return Interval(self.value, *(np.where(shown, end, np.nan) for end in ends))

    def skewness(self) -> np.ndarray:
        """Return the acceleration of BCa, from leaving out one subject at a time, [A + 1]."""
        left = self._figures(resampling.leave_one_out(self.strata))
        cubes = squares = np.zeros_like(self.value)
        for stratum in np.unique(self.strata):
            part = left[self.strata == stratum]
            influence = (len(part) - 1) * (part.mean(axis=0) - part) / len(part)
            cubes = cubes + (influence**3).sum(axis=0)
            squares = squares + (influence**2).sum(axis=0)
        return np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)


def _quantile(resamples: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return a quantile of every column [A + 1], undefined resamples left out."""
    ordered = np.sort(resamples, axis=0)
    last = (~np.isnan(resamples)).sum(axis=0) - 1
    place = np.clip(np.nan_to_num(at) * last, 0, np.maximum(last, 0))
    lower, upper = (
        np.take_along_axis(ordered, near(place).astype(np.int64)[None], axis=0)[0]
        for near in (np.floor, np.ceil)
    )
    return lower + (place - np.floor(place)) * (upper - lower)


def percentile(counts, folds, statistic, estimand, resamples=1000, seed=0, level=0.95) -> Interval:
    """Return the percentile interval: the middle `level` of the resamples' figures."""
    tail = (1 - level) / 2
    return Bootstrap(counts, folds, statistic, estimand, resamples, seed).interval(tail, 1 - tail)


def bca(counts, folds, statistic, estimand, resamples=1000, seed=0, level=0.95) -> Interval:
    """Return the BCa interval: percentiles corrected for bias and skewness (Efron, 1987)."""
    boot = Bootstrap(counts, folds, statistic, estimand, resamples, seed)
    below = (boot.resampled < boot.value).mean(axis=0) + (boot.resampled == boot.value).mean(
        axis=0
    ) / 2
    shift = stats.norm.ppf(np.clip(below, 1 / resamples, 1 - 1 / resamples))
    skewness = boot.skewness()
    moved = [shift + stats.norm.ppf(tail) for tail in ((1 - level) / 2, (1 + level) / 2)]
    return boot.interval(*(stats.norm.cdf(shift + m / (1 - skewness * m)) for m in moved))


def jackknife_t(counts, folds, statistic, estimand, resamples=1000, seed=0) -> Interval:
    """Return the interval of fauds; it does not resample."""
    return intervals(counts, folds, statistic, estimand=estimand)


METHODS: dict[str, Callable[..., Interval]] = {
    "jackknife_t": jackknife_t,
    "percentile": percentile,
    "bca": bca,
}


def study_intervals(
    subjects: Population,
    replications: int,
    seed: int,
    *,
    methods: Sequence[str] = tuple(METHODS),
    resamples: int = 1000,
) -> None:
    """Print the coverage and width of the intervals of every method, and how many are missing."""
    rng = np.random.default_rng(seed)
    true = truth(subjects, rng)
    print(f"true F1 {100 * true['F1', 'mean_of_folds'].round(3)}")
    (counts,) = subjects.draw(rng, replications)
    print(
        "| figure | estimand | method | AUs: min | median | max | mean over AUs | width | of mean "
        "| without interval |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (name, estimand), aim in true.items():
        for method in methods:
            results = [
                METHODS[method](_one(counts, i), subjects.folds, STATISTICS[name], estimand,
                                resamples, seed=i)
                for i in range(replications)
            ]  # fmt: skip
            low, high = (np.stack([getattr(f, end) for f in results]) for end in ("low", "high"))
            missing = np.isnan(low)
            held = np.where(missing, np.nan, (low <= aim) & (aim <= high))
            share, width = np.nanmean(held, axis=0), np.nanmean(high - low, axis=0)
            print(f"| {name} | {estimand} | {method} | {_spread(100 * share[:-1])} | "
                  f"{100 * share[-1]:.1f} | {100 * np.median(width[:-1]):.1f} | "
                  f"{100 * width[-1]:.1f} | {100 * missing[:, :-1].mean():.1f} |",
                  flush=True)  # fmt: skip
            if method == "jackknife_t":
                named = zip(subjects.aus, 100 * share, strict=False)
                print(f"<!-- {' '.join(f'{au} {s:.1f}' for au, s in named)} -->")


def study_comparison(subjects: Population, replications: int, seed: int) -> None:
    """Print false alarms at 0.05 and coverage of the difference, for two equally good models."""
    a, b = subjects.draw(np.random.default_rng(seed), replications, methods=(0, 1))
    print("| figure | estimand | | AUs: min | median | max | mean over AUs | without interval |")
    print("|---|---|---|---|---|---|---|---|")
    for name, statistic in STATISTICS.items():
        for estimand in ESTIMANDS:
            results = [
                compare([_one(a, i)], [_one(b, i)], subjects.folds, statistic,
                        estimand=estimand, permutations=999, seed=i)
                for i in range(replications)
            ]  # fmt: skip
            alarms = 100 * np.mean([f.p <= 0.05 for f in results], axis=0)
            known = np.array([~np.isnan(f.low) for f in results])
            holds = np.array([(f.low <= 0) & (f.high >= 0) for f in results])
            held = 100 * (holds & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
            for name_of, p in (("p", "p"), ("adjusted p", "adjusted_p")):
                some = np.mean([np.nanmin(getattr(f, p)[:-1]) <= 0.05 for f in results])
                print(f"<!-- {name} {estimand}: some AU has {name_of} <= 0.05 in "
                      f"{100 * some:.1f} % -->")  # fmt: skip
            for question, share, rest in (
                ("p <= 0.05", alarms, ""),
                ("interval holds 0", held, f"{100 * (1 - known[:, :-1].mean()):.1f}"),
            ):
                print(f"| {name} | {estimand} | {question} | {_spread(share[:-1])} | "
                      f"{share[-1]:.1f} | {rest} |", flush=True)  # fmt: skip


class Response:
    """The mean F1 over test sets as a function of the shift of the sensitivity, and its inverse.

    It is not linear: on DISFA, twice the shift changes mean F1 by less than twice as much.
    """

    _SHIFTS, _SIZE = np.linspace(-2.5, 2.5, 26), 400

    def __init__(self, subjects: Population, seed: int) -> None:
        values = []
        for shift in self._SHIFTS:
            # The same seed, so that neighbouring values differ by little but the shift.
            rng = np.random.default_rng(seed)
            (counts,) = subjects.draw(rng, self._SIZE, shifts=np.full((1, self._SIZE), shift))
            figures = _of_test_sets(counts, subjects.folds, occurrence.f1, "mean_of_folds")
            values.append(100 * np.nanmean(figures[:, -1]))
        curve = np.polynomial.Polynomial.fit(self._SHIFTS, values, 6)
        self._fine = np.linspace(-2.5, 2.5, 2001)
        self._change = curve(self._fine) - curve(0.0)
        if (np.diff(self._change) <= 0).any():
            raise SystemExit("mean F1 does not rise with the sensitivity: sample more test sets")

    def shifts(self, change: np.ndarray) -> np.ndarray:
        """Return the shifts that change mean F1 by this many points, float of the same shape."""
        if np.min(change) < self._change[0] or np.max(change) > self._change[-1]:
            raise SystemExit(f"no shift changes mean F1 by {np.max(np.abs(change)):.1f} points")
        return np.interp(change, self._change, self._fine)


@dataclass(frozen=True)
class Verdicts:
    """The intervals of the difference in mean F1 between two methods a and b, in points.

    Attributes:
        difference: the measured difference in each of R test sets, [R].
        half: half the width of its interval, [R].
        of_methods: the true difference between the methods.
        of_runs: the true difference between the trained models of each test set, [R].
    """

    difference: np.ndarray
    half: np.ndarray
    of_methods: float
    of_runs: np.ndarray

    @property
    def a_is_better(self) -> np.ndarray:
        """Whether the verdict is that a is better, bool [R]."""
        return self.difference - self.half > 0

    @property
    def told_apart(self) -> np.ndarray:
        """Whether the interval excludes 0, bool [R]."""
        return np.abs(self.difference) > self.half

    def missed(self, true: np.ndarray | float) -> float:
        """Return in how many of 100 test sets the interval does not hold a true difference."""
        return 100 * float(np.mean(np.abs(self.difference - true) > self.half))


def verdicts(
    subjects: Population,
    response: Response,
    replications: int,
    seed: int,
    *,
    seeds: int,
    spread: float,
    difference: float,
) -> Verdicts:
    """Return the verdicts on two methods in simulated test sets; a is better by `difference`.

    Args:
        subjects: the population.
        response: the response of mean F1 of this population.
        replications: the number of test sets.
        seed: the seed of the simulation.
        seeds: the number of training seeds of each method.
        spread: the standard deviation of a run's mean F1 over training seeds, in points.
        difference: by how much mean F1 of method a is above that of b, in points.
    """
    rng = np.random.default_rng([seed, seeds, int(100 * spread), int(100 * difference)])
    change = rng.standard_normal((2 * seeds, replications)) * spread
    change[:seeds] += difference
    methods = np.repeat([0, 1], seeds).tolist()
    runs = subjects.draw(rng, replications, methods, response.shifts(change))
    computed = [
        difference_interval([_one(run, i) for run in runs[:seeds]],
                            [_one(run, i) for run in runs[seeds:]],
                            subjects.folds, occurrence.f1, estimand="mean_of_folds")
        for i in range(replications)
    ]  # fmt: skip
    value, high = (100 * np.array([getattr(f, n)[-1] for f in computed]) for n in ("value", "high"))
    of_runs = change[:seeds].mean(axis=0) - change[seeds:].mean(axis=0)
    return Verdicts(value, high - value, difference, of_runs)


def study_verdict(subjects: Population, replications: int, seed: int) -> None:
    """Print how often the verdict tells two methods apart, by seeds, their spread and truth.

    The training seed shifts the sensitivity of a model for all subjects and AUs alike.
    """
    response = Response(subjects, seed)
    print("| seeds a side | spread of seeds | true difference | measured, mean | told apart "
          "| as a better | misses the methods' | misses the trained models' | half-width |"
          )  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for seeds in (1, 3):
        for spread in (0.0, 0.85, 1.6):
            for difference in (0.0, 2.0):
                v = verdicts(subjects, response, replications, seed, seeds=seeds, spread=spread,
                             difference=difference)  # fmt: skip
                print(f"| {seeds} | {spread} | {difference} | {v.difference.mean():.2f} | "
                      f"{100 * v.told_apart.mean():.1f} | {100 * v.a_is_better.mean():.1f} | "
                      f"{v.missed(v.of_methods):.1f} | {v.missed(v.of_runs):.1f} | "
                      f"{v.half.mean():.2f} |", flush=True)  # fmt: skip
    _study_detectable(subjects, response, replications, seed)


def _study_detectable(subjects, response: Response, replications: int, seed: int) -> None:
    """Print how often a difference of some half-widths is detected, with one seed a side."""
    one = {"seeds": 1, "spread": 0.0}
    half = verdicts(subjects, response, replications, seed, difference=0.0, **one).half.mean()
    for factor in sorted({1.0, 1.2, 1.3, DETECTABLE, 1.5}):
        v = verdicts(subjects, response, replications, seed + 1, difference=factor * half, **one)
        print(f"<!-- a true difference of {factor} half-widths ({factor * half:.1f} points) is "
              f"detected in {100 * v.a_is_better.mean():.1f} % -->", flush=True)  # fmt: skip


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.1f} | {np.median(values):.1f} | {values.max():.1f}"


def main() -> None:
    """Run the study for both datasets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=2000, help="number of test sets")
    parser.add_argument("--resamples", type=int, default=1000,
                        help="resamples per test set, for bootstrap intervals")  # fmt: skip
    parser.add_argument("--method", choices=METHODS, action="append",
                        help="measure only intervals of this method")  # fmt: skip
    parser.add_argument("--concentration", type=float, default=_CONCENTRATION,
                        help="a + b of the beta distributions over subjects")  # fmt: skip
    parser.add_argument("--of-method", type=float, default=_OF_METHOD,
                        help="share of the variance over subjects that runs of a method share, "
                        "0 to 0.5")  # fmt: skip
    parser.add_argument("--case", choices=CASES, action="append", help="run only this case")
    parser.add_argument("--only", choices=("intervals", "compare", "verdict"),
                        help="run only this part")  # fmt: skip
    parser.add_argument("--folds", type=int, default=3,
                        help="3: the published folds, 0: one a subject")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation")
    options = parser.parse_args()
    methods = tuple(options.method or METHODS)
    studies = {
        "intervals": partial(study_intervals, methods=methods, resamples=options.resamples),
        "compare": study_comparison,
        "verdict": study_verdict,
    }
    for case in options.case or CASES:
        subjects = population(case, options.concentration, options.folds, options.of_method)
        folds = len(np.unique(subjects.folds))
        print(f"\n{case}: {len(subjects.folds)} subjects, {folds} folds, "
              f"{options.replications} replications")  # fmt: skip
        for name, study in studies.items():
            if options.only in (None, name):
                study(subjects, options.replications, options.seed)


if __name__ == "__main__":
    main()
