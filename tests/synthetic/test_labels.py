"""Synthetic labels have the published statistics, measured by independent code.

Samples of full size are compared with benchmarks/label_statistics.json; smaller ones must be parts
of the full one.
"""

import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from fauds import resources
from fauds.errors import UsageError
from fauds.synthetic import labels

PUBLISHED = json.loads(resources.path("benchmarks", "label_statistics.json").read_text())
BOTH = ("bp4d", "disfa")


def full_size(like, seed):
    sequences = labels.lay_out(like, seed=seed)
    aus, intensities = labels.draw_intensities(like, sequences, seed)
    lengths = [len(coded.frames) for coded in sequences]
    return SimpleNamespace(
        like=like,
        aus=aus,
        sequences=sequences,
        intensities=intensities,
        occurs=labels.occurrence(like, intensities),
        sequence=np.repeat(np.arange(len(sequences)), lengths),
        subject=np.repeat([coded.subject for coded in sequences], lengths),
        frame=np.concatenate([coded.frames for coded in sequences]),
        published=PUBLISHED[like],
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (like, seed),
            id=f"{like}-seed{seed}",
            marks=() if (like, seed) == ("disfa", 0) else pytest.mark.slow,
        )
        for like in BOTH
        for seed in (0, 1)
    ],
)
def full(request):
    return full_size(*request.param)


def run_lengths(active, sequence):
    """Return the lengths of the runs of True within sequences."""
    breaks = np.flatnonzero(np.diff(sequence)) + 1
    lengths = []
    for part in np.split(active.astype(int), breaks):
        edges = np.diff(part, prepend=0, append=0)
        lengths.append(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))
    return np.concatenate(lengths)


def tetrachoric(first, second):
    """Return the tetrachoric correlation of two binary columns, by SciPy's normal distribution."""
    cuts = norm.ppf([first.mean(), second.mean()])
    both = (first & second).mean()

    def excess(r):
        return multivariate_normal.cdf(cuts, cov=[[1, r], [r, 1]]) - both

    if excess(-0.999) > 0:
        return -1.0
    return brentq(excess, -0.999, 0.999, xtol=1e-3)


def within_factor(measured, published, factor):
    ratio = np.asarray(measured) / np.asarray(published)
    assert np.all((ratio < factor) & (ratio > 1 / factor)), ratio.round(2)


@pytest.mark.slow
def test_full_size_has_the_published_frames(full):
    counted = dict(zip(*np.unique(full.subject, return_counts=True), strict=True))
    assert counted == full.published["frames_per_subject"]
    assert full.intensities.shape == (full.published["frames"], len(full.published["aus"]))
    assert full.intensities.dtype == np.int8
    assert list(full.aus) == full.published["aus"]


def test_occurrence_rates_are_the_published_ones(full):
    assert full.occurs.mean(axis=0) == pytest.approx(full.published["occurrence_rate"], abs=0.02)


def test_pairwise_correlations_are_the_published_ones(full):
    correlation = np.array(full.published["latent_correlation"])
    missed = [
        abs(tetrachoric(full.occurs[:, one], full.occurs[:, other]) - correlation[one, other])
        for one, other in combinations(range(len(full.aus)), 2)
    ]
    assert np.mean(missed) < 0.1


def test_median_run_lengths_are_the_published_ones(full):
    medians = [np.median(run_lengths(column, full.sequence)) for column in full.occurs.T]
    published = full.published["active_run_length_frames"]
    within_factor(medians, [published[au]["median"] for au in full.aus], 1.5)


def test_the_spread_between_subjects_is_the_published_one(full):
    rates = [full.occurs[full.subject == one].mean(axis=0) for one in np.unique(full.subject)]
    within_factor(np.std(rates, axis=0), full.published["subject_rate_sd"], 1.5)


def test_the_number_of_active_aus_per_frame_is_the_published_one(full):
    counts = np.bincount(full.occurs.sum(axis=1), minlength=len(full.aus) + 1)
    shares = counts / len(full.occurs)
    assert shares == pytest.approx(full.published["active_aus_per_frame"], abs=0.03)


def test_intensity_levels_have_the_published_shares(full):
    levels = [np.bincount(column, minlength=6) for column in full.intensities.T]
    shares = np.array(levels) / len(full.intensities)
    disfa = np.array(list(PUBLISHED["disfa"]["intensity_distribution"].values()))
    if full.like == "disfa":
        assert shares == pytest.approx(disfa, abs=0.02)
    else:
        mean = disfa[:, 2:].mean(axis=0)
        present = shares[:, 2:] / shares[:, 2:].sum(axis=1, keepdims=True)
        assert present == pytest.approx(np.tile(mean / mean.sum(), (12, 1)), abs=0.02)


@pytest.mark.slow
def test_bp4d_tasks_and_sexes_differ_as_published():
    full = full_size("bp4d", 0)
    task = np.array([coded.task for coded in full.sequences])[full.sequence]
    sex = np.array([coded.sex for coded in full.sequences])[full.sequence]
    for group, key in ((task, "occurrence_rate_by_task"), (sex, "occurrence_rate_by_sex")):
        for name, published in full.published[key].items():
            drawn = full.occurs[group == name].mean(axis=0)
            assert np.abs(drawn - published).mean() < 0.05, name


def test_bp4d_has_the_published_subjects_tasks_and_lengths():
    sequences = labels.lay_out("bp4d", seed=3)
    assert [(coded.subject, coded.task) for coded in sequences] == [
        (subject, f"T{task}")
        for subject in PUBLISHED["bp4d"]["frames_per_subject"]
        for task in range(1, 9)
    ]
    assert len(sequences) == 41 * 8
    for coded in sequences:
        assert coded.sex == coded.subject[0]
        assert coded.frames.dtype == np.int32
        assert 90 <= len(coded.frames) <= 768
        assert coded.frames[0] >= 1 and coded.frames[-1] <= 2992
        assert np.all(np.diff(coded.frames) == 1)


def test_disfa_has_the_published_subjects_and_frames():
    sequences = labels.lay_out("disfa")
    assert [coded.subject for coded in sequences] == list(PUBLISHED["disfa"]["frames_per_subject"])
    for coded in sequences:
        assert (coded.sex, coded.task) == (None, "")
        last = 4844 if coded.subject == "SN010" else 4845
        assert np.array_equal(coded.frames, np.arange(1, last + 1))


@pytest.mark.slow
@pytest.mark.parametrize("like", BOTH)
def test_a_smaller_sample_is_a_part_of_the_full_one(like):
    full = full_size(like, 5)
    sequences = labels.lay_out(like, subjects=4, frames=37, seed=5)
    _, intensities = labels.draw_intensities(like, sequences[::-1], 5)
    rows = []
    for coded in sequences[::-1]:
        (same,) = (
            index
            for index, other in enumerate(full.sequences)
            if (other.subject, other.task) == (coded.subject, coded.task)
        )
        rows.append(np.flatnonzero((full.sequence == same) & np.isin(full.frame, coded.frames)))
    rows = np.concatenate(rows)
    assert len(rows) == 4 * 37
    assert np.array_equal(intensities, full.intensities[rows])


@pytest.mark.parametrize("like", BOTH)
@pytest.mark.parametrize("frames", [1, 3, 30, 3000])
def test_frames_are_spread_over_the_full_sequences(like, frames):
    sequences = labels.lay_out(like, subjects=5, frames=frames, seed=2)
    subjects = [coded.subject for coded in sequences]
    assert len(set(subjects)) == 5
    for subject in set(subjects):
        kept = [coded.frames for coded in sequences if coded.subject == subject]
        assert sum(map(len, kept)) == frames
        for numbers in kept:
            assert numbers[0] > 0 and np.all(np.diff(numbers) > 0)
        if like == "bp4d" and frames >= 30:
            assert len(kept) == 8
    if like == "disfa" and frames == 30:
        assert {int(gap) for coded in sequences for gap in np.diff(coded.frames)} == {161, 162}


def test_few_subjects_cover_both_sexes_and_all_test_parts():
    parts = {1: ("F001", "F002", "M001"), 2: ("F003", "M002", "M005"), 3: ("F004", "M003")}
    part = {subject: number for number, subjects in parts.items() for subject in subjects}
    assert {coded.sex for coded in labels.lay_out("bp4d", subjects=2, frames=8)} == {"F", "M"}
    six = {coded.subject for coded in labels.lay_out("bp4d", subjects=6, frames=8)}
    assert len({(part[subject], subject[0]) for subject in six}) == 6


@pytest.mark.parametrize("like", BOTH)
def test_every_number_of_subjects_can_be_sampled(like):
    total = len(PUBLISHED[like]["frames_per_subject"])
    before = set()
    for count in range(1, total + 1):
        drawn = {coded.subject for coded in labels.lay_out(like, subjects=count, frames=1)}
        assert len(drawn) == count and before < drawn
        before = drawn


@pytest.mark.slow
def test_the_seed_determines_the_labels():
    sequences = labels.lay_out("bp4d", subjects=3, frames=50)
    drawn = [labels.draw_intensities("bp4d", sequences, seed)[1] for seed in (7, 7, 8)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("like", BOTH)
def test_no_sequences_give_no_labels(like):
    aus, intensities = labels.draw_intensities(like, [], 0)
    assert intensities.shape == (0, len(aus))


@pytest.mark.parametrize(
    ("like", "arguments", "hint"),
    [
        ("bp4d+", {}, "choose from: bp4d, disfa"),
        ("bp4d", {"subjects": 42}, "choose 1 to 41"),
        ("disfa", {"subjects": 0}, "choose 1 to 27"),
        ("bp4d", {"frames": 0}, "choose 1 to 3266"),
        ("disfa", {"frames": 5000}, "choose 1 to 4844"),
        ("disfa", {"seed": -1}, "0 or more"),
    ],
)
def test_invalid_arguments_are_an_error_that_says_what_to_do(like, arguments, hint):
    with pytest.raises(UsageError) as caught:
        labels.lay_out(like, **arguments)
    assert hint in caught.value.hint


def test_a_sequence_of_another_dataset_is_an_error():
    sequences = labels.lay_out("disfa", subjects=1, frames=5)
    with pytest.raises(UsageError, match="SN001"):
        labels.draw_intensities("bp4d", sequences)
