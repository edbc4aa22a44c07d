"""Paired comparison of two models, compared with swapping subjects one by one."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from fauds.errors import DataError
from fauds.metrics import comparison, multiclass, occurrence
from fauds.metrics.comparison import compare, compare_groups, difference_interval, swaps_used
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import WithOverall, estimates


def pair(seed, better=0.0, subjects=9, aus=2):
    """Return the counts of two models, of which a has a higher recall, and the folds."""
    rng = np.random.default_rng(seed)
    active = rng.integers(1, 60, (subjects, aus))
    inactive = rng.integers(20, 90, (subjects, aus))
    share = rng.beta(8, 6, (subjects, aus))
    models = []
    for more in (better, 0.0):
        tp = rng.binomial(active, np.clip(share + rng.normal(more, 0.1, share.shape), 0, 1))
        fp = rng.binomial(inactive, 0.2)
        models.append(Counts(tp=tp, fp=fp, fn=active - tp, tn=inactive - fp))
    return *models, np.arange(subjects) % 3


def mixed(a, b, from_b):
    """Return counts that are b's for the subjects in `from_b`, and a's for the others."""
    use_b = np.array(from_b, bool)[:, None]
    return Counts(*(np.where(use_b, getattr(b, part), getattr(a, part))
                    for part in ("tp", "fp", "fn", "tn")))  # fmt: skip


def figure(runs, folds, estimand, weights=None, statistic=occurrence.f1):
    """Return the mean over runs of a statistic of all subjects, [A + 1]."""
    weights = np.ones((1, len(folds))) if weights is None else weights
    return np.mean([estimates(weights, run, folds, statistic, estimand)[0] for run in runs], axis=0)


@pytest.mark.parametrize("estimand", ["mean_of_folds", "pooled"])
def test_p_is_the_share_of_all_swaps_with_at_least_the_same_difference(estimand):
    a, b, folds = pair(1, better=0.12, subjects=6)
    swaps = [np.array(swap) for swap in product([0, 1], repeat=6)]
    every = np.array(
        [
            figure([mixed(a, b, s)], folds, estimand)
            - figure([mixed(a, b, 1 - s)], folds, estimand)
            for s in swaps
        ]
    )
    exact = (np.abs(every) >= np.abs(every[0]) - 1e-12).mean(axis=0)
    result = compare([a], [b], folds, occurrence.f1, estimand=estimand)
    assert result.difference == pytest.approx(every[0])
    assert result.p == pytest.approx(exact)
    assert [swaps_used(6, most) for most in (10_000, 64, 60)] == [64, 64, 60]
    alone = difference_interval([a], [b], folds, occurrence.f1, estimand=estimand)
    assert [*map(list, alone)] == [*map(list, (result.difference, result.low, result.high))]
    sampled = compare([a], [b], folds, occurrence.f1, estimand=estimand, permutations=60)
    assert sampled.p == pytest.approx(exact, abs=0.25)
    # Max-T: the largest scaled difference of any AU decides.
    scaled = np.abs(every[:, :-1]) / np.sqrt((every[:, :-1] ** 2).mean(axis=0))
    largest = scaled.max(axis=1)
    adjusted = [(largest >= scaled[0, au] - 1e-12).mean() for au in range(2)]
    assert result.adjusted_p == pytest.approx([*adjusted, exact[-1]])
    assert (result.adjusted_p >= result.p - 1e-12).all()


def test_five_subjects_cannot_give_a_p_value_below_0_05():
    a, b, _ = pair(11, better=0.4, subjects=5)
    result = compare([a], [b], np.zeros(5, int), occurrence.f1, estimand="pooled")
    assert result.p.min() >= 2 / 2**5


def test_identical_models_do_not_differ_and_have_no_interval_of_width_0():
    a, _, folds = pair(2)
    result = compare([a], [a], folds, occurrence.f1, estimand="mean_of_folds")
    assert result.p.tolist() == result.adjusted_p.tolist() == [1, 1, 1]
    assert result.difference.tolist() == [0, 0, 0]
    assert np.isnan(result.low).all() and np.isnan(result.high).all()


def left_out(runs, folds, estimand):
    """Yield the jackknife's values, [subjects of a fold, runs, A + 1], for each fold."""
    for fold in range(3):
        out = []
        for subject in np.flatnonzero(folds == fold):
            # The other two of the fold stand for all three.
            weights = np.where(folds == fold, 1.5, 1.0)
            weights[subject] = 0
            out.append([figure([run], folds, estimand, weights[None]) for run in runs])
        yield np.array(out)


def plain_variance(parts):
    """Return the variance of a jackknife from its values in each of three folds of three."""
    return sum(2 / 3 * ((out - out.mean(axis=0)) ** 2).sum(axis=0) for out in parts)


@pytest.mark.parametrize("estimand", ["mean_of_folds", "pooled"])
@pytest.mark.parametrize("shift", [0, 15])
def test_the_interval_is_that_of_leaving_out_subjects_and_of_repeating_seeds(estimand, shift):
    """Run 1 of model a decides `shift` more active frames rightly, for every subject."""
    a = [pair(seed, better=0.1)[0] for seed in (3, 3, 3)]
    b, folds = [pair(3)[1]], pair(3)[2]
    noise = np.random.default_rng(0).integers(0, 8, (3, *a[0].tp.shape))
    more = np.minimum(noise + np.array([0, shift, 0])[:, None, None], a[0].fn)
    a = [Counts(r.tp + n, r.fp, r.fn - n, r.tn) for r, n in zip(a, more, strict=True)]
    of_a, of_b = ([*left_out(runs, folds, estimand)] for runs in (a, b))
    variance = plain_variance(
        x.mean(axis=1) - y.mean(axis=1) for x, y in zip(of_a, of_b, strict=True)
    )
    # Of the spread of the seeds, what differs between subjects is in that variance already.
    deviations = plain_variance(x - x.mean(axis=1, keepdims=True) for x in of_a)
    of_seeds = np.array([figure([run], folds, estimand) for run in a])
    training = of_seeds.var(axis=0, ddof=1) / 3 - deviations.sum(axis=0) / 2 / 3
    assert (training[-1] > 0) == (shift > 0)
    training = np.maximum(training, 0)
    # Three folds of three: 2 degrees of freedom over subjects, and 2 over three seeds.
    total = variance + training
    freedom = total**2 / (variance**2 / 2 + training**2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(total)
    result = compare(a, b, folds, occurrence.f1, estimand=estimand)
    assert result.difference == pytest.approx(of_seeds.mean(axis=0) - figure(b, folds, estimand))
    assert result.high - result.difference == pytest.approx(half)
    assert result.difference - result.low == pytest.approx(half)


def test_the_interval_of_two_trained_models_is_that_of_leaving_out_subjects():
    a, b, folds = pair(3, better=0.1)
    out = [*left_out([a, b], folds, "mean_of_folds")]
    half = stats.t.ppf(0.975, 2) * np.sqrt(plain_variance(x[:, 0] - x[:, 1] for x in out))
    result = compare([a], [b], folds, occurrence.f1, estimand="mean_of_folds")
    assert result.high - result.difference == pytest.approx(half)


def test_one_collapsed_seed_counts_as_one_seed_and_not_by_its_frames():
    """The mean of F1 over seeds is not the F1 of averaged counts."""
    good = Counts(*(np.full((4, 1), n) for n in (80, 20, 20, 80)))
    collapsed = Counts(*(np.full((4, 1), n) for n in (0, 0, 100, 100)))
    zero = Counts(*(np.full((4, 1), n) for n in (0, 100, 100, 0)))
    folds = np.array([0, 0, 1, 1])
    result = compare([good, collapsed], [zero], folds, occurrence.f1, estimand="mean_of_folds")
    assert result.difference[0] == pytest.approx((0.8 + 0) / 2)


def test_pairing_detects_a_difference_smaller_than_the_spread_of_subjects():
    a, b, folds = pair(4, better=0.25, subjects=18)
    options = {"estimand": "mean_of_folds", "permutations": 2000}
    result = compare([a], [b], folds, occurrence.f1, **options)
    assert result.low[-1] > 0
    assert result.p[-1] < 0.01
    other = compare([b], [a], folds, occurrence.f1, **options)
    assert other.difference == pytest.approx(-result.difference)
    assert other.p[-1] < 0.01


def test_equal_models_differ_significantly_no_more_often_than_the_level():
    results = []
    for seed in range(200):
        a, b, folds = pair(seed)
        compared = compare(
            [a], [b], folds, occurrence.f1, estimand="mean_of_folds", permutations=199
        )
        results.append((compared.p[-1], np.nanmin(compared.adjusted_p[:-1])))
    for level in (0.05, 0.2, 0.5):
        for alarms in (np.array(results) <= level).sum(axis=0):
            assert binomtest(int(alarms), 200, level, alternative="greater").pvalue > 0.001


def test_an_au_without_active_frames_has_no_difference():
    a, b, folds = pair(5)
    for counts in (a, b):
        counts.tp[:, 0] = counts.fn[:, 0] = 0
    result = compare([a], [b], folds, occurrence.f1, estimand="pooled")
    for figures in result:
        assert np.isnan(figures).tolist() == [True, False, False]


def test_an_au_that_one_subject_of_a_fold_shows_has_no_interval():
    a, b, folds = pair(9)
    for counts in (a, b):
        # Of fold 0, only subject 0 shows AU 0.
        counts.tp[[3, 6], 0] = counts.fn[[3, 6], 0] = 0
    result = compare([a], [b], folds, occurrence.f1, estimand="mean_of_folds")
    assert np.isnan(result.low).tolist() == [True, False, False]
    assert not np.isnan(result.difference).any()
    pooled = compare([a], [b], folds, occurrence.f1, estimand="pooled")
    assert not np.isnan(pooled.low).any()


def test_a_single_fold_of_one_subject_makes_the_interval_undefined():
    a, b, _ = pair(6)
    folds = np.array([1, 2, 2, 2, 2, 3, 3, 3, 3])
    result = compare([a], [b], folds, occurrence.f1, estimand="mean_of_folds")
    assert np.isnan(result.low).all() and not np.isnan(result.p).any()


def test_leaving_one_subject_out_gives_the_interval_of_a_mean_of_subjects():
    a, b, _ = pair(10)
    folds = np.arange(9)
    result = compare([a], [b], folds, occurrence.f1, estimand="mean_of_folds")
    by_subject = occurrence.f1(a) - occurrence.f1(b)
    mean_of_aus = by_subject.mean(axis=1)
    for values, column in ((by_subject[:, 0], 0), (mean_of_aus, 2)):
        half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / 3
        assert result.difference[column] == pytest.approx(values.mean())
        assert result.high[column] == pytest.approx(values.mean() + half)


def test_models_scored_on_different_labels_are_an_error():
    a, _, folds = pair(7)
    _, other, _ = pair(8)
    with pytest.raises(DataError, match="same labels"):
        compare([a], [other], folds, occurrence.f1, estimand="pooled")
    fewer = Counts(*(part[:-1] for part in (a.tp, a.fp, a.fn, a.tn)))
    with pytest.raises(DataError, match="same labels"):
        compare([a], [a, fewer], folds, occurrence.f1, estimand="pooled")


def test_groups_are_compared_by_a_metric_that_does_not_depend_on_how_often_an_au_is_active():
    """Recall 0.7 and a false-positive rate of 0.1 in both groups; women show the AU more often."""
    active = np.array([[259]] * 6 + [[150]] * 6)
    active += (np.arange(12) % 6 * 2 - 5)[:, None]
    inactive = 1000 - active
    tp, fp = 0.7 * active, 0.1 * inactive
    counts = Counts(tp=tp, fp=fp, fn=active - tp, tn=inactive - fp)
    women, folds = np.arange(12) < 6, np.arange(12) % 3
    f1, low, _ = compare_groups(counts, folds, women, occurrence.f1)
    assert f1[0] == pytest.approx(0.705 - 0.618, abs=0.001) and low[0] > 0
    skew, low, high = compare_groups(counts, folds, women, occurrence.skew_f1)
    assert skew[0] == pytest.approx(0)
    assert not low[0] > 0 and not high[0] < 0
    other = compare_groups(counts, folds, ~women, occurrence.skew_f1)
    assert other[0] == pytest.approx(-skew)


def test_groups_are_compared_over_the_aus_that_both_show():
    """Only women show AU 1, so that the mean of the difference is that of AU 0."""
    a, _, folds = pair(13, subjects=12)
    women = np.arange(12) < 6
    a.tp[~women, 1] = a.fn[~women, 1] = 0
    of_au = [
        2 * tp / (2 * tp + fp + fn)
        for tp, fp, fn in ((p.sum() for p in (a.tp[w, 0], a.fp[w, 0], a.fn[w, 0]))
                           for w in (women, ~women))
    ]  # fmt: skip
    difference, low, high = compare_groups(a, folds, women, occurrence.f1)
    assert difference == pytest.approx([of_au[0] - of_au[1], np.nan, of_au[0] - of_au[1]], nan_ok=1)
    assert (low[2], high[2]) == pytest.approx((low[0], high[0]))
    assert np.isnan(low).tolist() == [False, True, False]


def test_the_overall_difference_of_classes_is_that_of_their_overall_values():
    """Accuracy over all classes is no mean of classes; the second group has no frame of class 1."""
    matrix = np.array([[[8, 2], [1, 4]], [[6, 4], [2, 3]], [[9, 1], [0, 0]], [[5, 5], [0, 0]]])
    statistic = WithOverall(multiclass.recall, multiclass.accuracy)
    first = np.array([True, True, False, False])
    result = compare_groups(multiclass.Confusion(matrix), np.ones(4, int), first, statistic)
    assert result.value == pytest.approx([14 / 20 - 14 / 20, np.nan, 21 / 30 - 14 / 20], nan_ok=1)


def test_the_interval_of_a_difference_between_groups_adds_their_variances():
    a, _, folds = pair(12, subjects=18)
    women = np.arange(18) < 9
    variances = []
    for group in (women, ~women):
        members = np.flatnonzero(group)
        total = 0.0
        for fold in range(3):
            out = []
            for subject in members[folds[members] == fold]:
                weights = np.where(folds == fold, 1.5, 1.0) * group
                weights[subject] = 0
                out.append(occurrence.skew_f1(Counts(*(weights @ p for p in a.parts))))
            total += 2 / 3 * ((out - np.mean(out, axis=0)) ** 2).sum(axis=0)
        variances.append(total)
    total = variances[0] + variances[1]
    freedom = total**2 / ((variances[0] ** 2 + variances[1] ** 2) / 2)
    difference, low, high = compare_groups(a, folds, women, occurrence.skew_f1)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(total)
    assert high[:2] - difference[:2] == pytest.approx(half)
    assert difference[:2] - low[:2] == pytest.approx(half)


def test_images_alike_for_one_model_but_not_for_the_other_are_left_out_one_by_one():
    """Many images have the same counts for a model; here, the interval of a plain jackknife."""
    rng = np.random.default_rng(8)
    active = rng.integers(0, 2, (60, 1))
    models = []
    for right in (0.9, 0.6):
        decided = np.where(rng.random((60, 1)) < right, active, 1 - active)
        tp, fp = active * decided, (1 - active) * decided
        models.append(Counts(tp=tp, fp=fp, fn=active - tp, tn=1 - active - fp))
    folds = np.ones(60, int)
    differences = []
    for image in range(60):
        of_a, of_b = (
            occurrence.f1(Counts(*(np.delete(part, image, 0).sum(0) for part in model.parts)))
            for model in models
        )
        differences.append(of_a - of_b)
    spread = ((differences - np.mean(differences, axis=0)) ** 2).sum(axis=0)
    half = stats.t.ppf(0.975, 19) * np.sqrt(59 / 60 * spread)
    result = compare(*([m] for m in models), folds, occurrence.f1, estimand="mean_of_folds")
    assert result.high[:1] - result.difference[:1] == pytest.approx(half)


def test_permutations_of_many_images_are_the_same_in_several_portions(monkeypatch):
    whole = np.concatenate([*comparison._swaps(1000, 37, 5)])
    monkeypatch.setattr(comparison, "_SWAPS_AT_ONCE", 100 * 37)
    portions = [*comparison._swaps(1000, 37, 5)]
    assert len(portions) == 10
    assert np.array_equal(np.concatenate(portions), whole)
