"""Synthetic labels against the published statistics, measured independently of how they are made.

Full-size draws are compared with benchmarks/label_statistics.json; smaller draws must be parts
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
    takes = labels.lay_out(like, seed=seed)
    aus, intensities = labels.draw_intensities(like, takes, seed)
    lengths = [len(take.frames) for take in takes]
    return SimpleNamespace(
        like=like,
        aus=aus,
        takes=takes,
        intensities=intensities,
        occurs=labels.occurrence(like, intensities),
        sequence=np.repeat(np.arange(len(takes)), lengths),
        subject=np.repeat([take.subject for take in takes], lengths),
        frame=np.concatenate([take.frames for take in takes]),
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
    """Lengths of the runs of True, none crossing from one sequence into the next."""
    breaks = np.flatnonzero(np.diff(sequence)) + 1
    lengths = []
    for part in np.split(active.astype(int), breaks):
        edges = np.diff(part, prepend=0, append=0)
        lengths.append(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))
    return np.concatenate(lengths)


def tetrachoric(first, second):
    """The correlation of two normals that, cut at the margins, have this 2 x 2 table."""
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


def test_full_size_has_the_published_frames(full):
    counted = dict(zip(*np.unique(full.subject, return_counts=True), strict=True))
    assert counted == full.published["frames_per_subject"]
    assert full.intensities.shape == (full.published["frames"], len(full.published["aus"]))
    assert full.intensities.dtype == np.int8
    assert list(full.aus) == full.published["aus"]


def test_occurrence_rates(full):
    assert full.occurs.mean(axis=0) == pytest.approx(full.published["occurrence_rate"], abs=0.02)


def test_pairwise_latent_correlations(full):
    correlation = np.array(full.published["latent_correlation"])
    missed = [
        abs(tetrachoric(full.occurs[:, one], full.occurs[:, other]) - correlation[one, other])
        for one, other in combinations(range(len(full.aus)), 2)
    ]
    assert np.mean(missed) < 0.1


def test_median_run_lengths(full):
    medians = [np.median(run_lengths(column, full.sequence)) for column in full.occurs.T]
    published = full.published["active_run_length_frames"]
    within_factor(medians, [published[au]["median"] for au in full.aus], 1.5)


def test_spread_between_subjects(full):
    rates = [full.occurs[full.subject == one].mean(axis=0) for one in np.unique(full.subject)]
    within_factor(np.std(rates, axis=0), full.published["subject_rate_sd"], 1.5)


def test_number_of_active_aus(full):
    counts = np.bincount(full.occurs.sum(axis=1), minlength=len(full.aus) + 1)
    shares = counts / len(full.occurs)
    assert shares == pytest.approx(full.published["active_aus_per_frame"], abs=0.03)


def test_intensity_levels(full):
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
    task = np.array([take.task for take in full.takes])[full.sequence]
    sex = np.array([take.sex for take in full.takes])[full.sequence]
    for group, key in ((task, "occurrence_rate_by_task"), (sex, "occurrence_rate_by_sex")):
        for name, published in full.published[key].items():
            drawn = full.occurs[group == name].mean(axis=0)
            assert np.abs(drawn - published).mean() < 0.05, name


def test_bp4d_layout():
    takes = labels.lay_out("bp4d", seed=3)
    assert [(take.subject, take.task) for take in takes] == [
        (subject, f"T{task}")
        for subject in PUBLISHED["bp4d"]["frames_per_subject"]
        for task in range(1, 9)
    ]
    assert len(takes) == 41 * 8
    for take in takes:
        assert take.sex == take.subject[0]
        assert take.frames.dtype == np.int32
        assert 90 <= len(take.frames) <= 768
        assert take.frames[0] >= 1 and take.frames[-1] <= 2992
        assert np.all(np.diff(take.frames) == 1)


def test_disfa_layout():
    takes = labels.lay_out("disfa")
    assert [take.subject for take in takes] == list(PUBLISHED["disfa"]["frames_per_subject"])
    for take in takes:
        assert (take.sex, take.task) == (None, "")
        last = 4844 if take.subject == "SN010" else 4845
        assert np.array_equal(take.frames, np.arange(1, last + 1))


@pytest.mark.slow
@pytest.mark.parametrize("like", BOTH)
def test_a_smaller_draw_is_a_part_of_the_full_one(like):
    full = full_size(like, 5)
    takes = labels.lay_out(like, subjects=4, frames=37, seed=5)
    _, intensities = labels.draw_intensities(like, takes[::-1], 5)
    rows = []
    for take in takes[::-1]:
        (same,) = (
            index
            for index, other in enumerate(full.takes)
            if (other.subject, other.task) == (take.subject, take.task)
        )
        rows.append(np.flatnonzero((full.sequence == same) & np.isin(full.frame, take.frames)))
    rows = np.concatenate(rows)
    assert len(rows) == 4 * 37
    assert np.array_equal(intensities, full.intensities[rows])


@pytest.mark.parametrize("like", BOTH)
@pytest.mark.parametrize("frames", [1, 3, 30, 3000])
def test_frames_are_spread_over_the_full_sequences(like, frames):
    takes = labels.lay_out(like, subjects=5, frames=frames, seed=2)
    subjects = [take.subject for take in takes]
    assert len(set(subjects)) == 5
    for subject in set(subjects):
        kept = [take.frames for take in takes if take.subject == subject]
        assert sum(map(len, kept)) == frames
        for numbers in kept:
            assert numbers[0] > 0 and np.all(np.diff(numbers) > 0)
        if like == "bp4d" and frames >= 30:
            assert len(kept) == 8
    if like == "disfa" and frames == 30:
        assert {int(gap) for take in takes for gap in np.diff(take.frames)} == {161, 162}


def test_few_subjects_hold_both_sexes_and_all_parts():
    parts = {1: ("F001", "F002", "M001"), 2: ("F003", "M002", "M005"), 3: ("F004", "M003")}
    part = {subject: number for number, subjects in parts.items() for subject in subjects}
    assert {take.sex for take in labels.lay_out("bp4d", subjects=2, frames=8)} == {"F", "M"}
    six = {take.subject for take in labels.lay_out("bp4d", subjects=6, frames=8)}
    assert len({(part[subject], subject[0]) for subject in six}) == 6


@pytest.mark.parametrize("like", BOTH)
def test_every_count_of_subjects_is_drawn(like):
    there_are = len(PUBLISHED[like]["frames_per_subject"])
    before = set()
    for count in range(1, there_are + 1):
        drawn = {take.subject for take in labels.lay_out(like, subjects=count, frames=1)}
        assert len(drawn) == count and before < drawn
        before = drawn


@pytest.mark.slow
def test_the_seed_decides():
    takes = labels.lay_out("bp4d", subjects=3, frames=50)
    drawn = [labels.draw_intensities("bp4d", takes, seed)[1] for seed in (7, 7, 8)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("like", BOTH)
def test_no_takes_no_labels(like):
    aus, intensities = labels.draw_intensities(like, [], 0)
    assert intensities.shape == (0, len(aus))


@pytest.mark.parametrize(
    ("like", "arguments", "says"),
    [
        ("bp4d+", {}, "choose one of bp4d, disfa"),
        ("bp4d", {"subjects": 42}, "choose 1 to 41"),
        ("disfa", {"subjects": 0}, "choose 1 to 27"),
        ("bp4d", {"frames": 0}, "choose 1 to 3266"),
        ("disfa", {"frames": 5000}, "choose 1 to 4844"),
        ("disfa", {"seed": -1}, "from 0 on"),
    ],
)
def test_bad_arguments_say_what_to_do(like, arguments, says):
    with pytest.raises(UsageError) as caught:
        labels.lay_out(like, **arguments)
    assert says in caught.value.hint


def test_a_sequence_of_another_dataset_is_refused():
    takes = labels.lay_out("disfa", subjects=1, frames=5)
    with pytest.raises(UsageError, match="SN001"):
        labels.draw_intensities("bp4d", takes)
