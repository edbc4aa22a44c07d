"""What this process was started with."""

import os
from types import SimpleNamespace

import pytest
import torch

from fauds import launcher
from fauds.nn.presets import run_settings
from fauds.training.device import loader_workers


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinities")
def test_a_process_that_may_use_one_core_counts_one():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert launcher.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert launcher.cores() == len(allowed)


@pytest.mark.parametrize(("cores", "processes", "workers"), [(64, 1, 8), (12, 4, 3), (1, 2, 0)])
def test_the_processes_of_a_run_on_gpus_share_the_cores_they_may_use(
    monkeypatch, cores, processes, workers
):
    monkeypatch.setattr(launcher, "cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    gpus = SimpleNamespace(device=torch.device("cuda"), num_processes=processes)
    assert loader_workers(run_settings("linear", "tiny"), gpus) == workers
