"""The small networks that benchmarks/studies/training.py really trains, in three folds."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from fauds.metrics.occurrence import f1
from tests.metrics.scripts import script

FOLDS = np.arange(9) % 3


@pytest.fixture(scope="module")
def study() -> ModuleType:
    module = script("studies/training.py")
    module._STEPS = 20
    return module


def trained(study, people):
    networks = study.Networks(2, torch.Generator().manual_seed(1))
    networks.train(people, FOLDS, torch.Generator().manual_seed(2))
    # Methods, seeds, folds.
    return [parameter.reshape(2, 2, 3, -1).numpy() for parameter in networks.parameters]


def test_the_model_of_a_fold_is_not_trained_on_the_subjects_that_it_tests(study):
    people = study.World().people(np.random.default_rng(0), 9)
    of_fold_1 = np.repeat(FOLDS == 1, study._FRAMES)
    labels = np.where(of_fold_1[:, None], 1 - people.labels, people.labels)
    for before, after in zip(
        trained(study, people), trained(study, replace(people, labels=labels)), strict=True
    ):
        assert np.array_equal(before[:, :, 1], after[:, :, 1])
        assert not np.allclose(before[:, :, 0], after[:, :, 0])


def test_each_subject_is_tested_by_the_model_of_its_fold(study):
    replication = study.replicate(9, 2, seed=3)
    rng, generator = np.random.default_rng([3, 9]), torch.Generator().manual_seed(3)
    people = study.World().people(rng, 9)
    networks = study.Networks(2, generator)
    networks.train(people, FOLDS, generator)
    decided = networks.decisions(people).reshape(2, 2, 3, 9, study._FRAMES, -1)
    labels = people.labels.reshape(9, study._FRAMES, -1) == 1
    for method, seed, subject in ((0, 0, 4), (1, 1, 8)):
        own = decided[method, seed, FOLDS[subject], subject]
        hits = (own & labels[subject]).sum(axis=0)
        assert np.array_equal(replication.runs[method][seed].tp[subject], hits)


def test_trained_networks_are_better_than_chance(study, monkeypatch):
    monkeypatch.setattr(study, "_STEPS", 150)
    replication = study.replicate(27, 1, seed=0)
    always = 2 * 0.31 / 1.31  # AUs are active in 31 % of the frames on average
    assert np.nanmean(f1(replication.runs[0][0].total())) > always + 0.1
    assert (replication.new > always + 0.1).all()
