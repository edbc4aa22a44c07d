"""The processes of a run are divided into groups, which take folds in turn."""

import os

import pytest
import torch
from torch.distributed import HashStore

from fauds.errors import UsageError
from fauds.training import groups as module
from fauds.training import processes
from fauds.training.groups import Groups


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """A function that returns the `Groups` of one of several processes, as torchrun starts them.

    The processes share a store, and join no group.
    """
    store = HashStore()
    monkeypatch.setattr(module, "_meeting_store", lambda count: store)
    joined: list[processes.Group | None] = []
    monkeypatch.setattr(processes, "join_group", lambda cpu, group: joined.append(group))

    def start(rank: int, world: int, folds: int, *, by_fold: bool = True) -> tuple:
        values = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_PORT": 1}
        for name, value in {**values, "MASTER_ADDR": "localhost"}.items():
            monkeypatch.setenv(name, str(value))
        groups = Groups(by_fold=by_fold)
        groups.divide(folds, cpu=True)
        return groups, joined[-1]

    return start


@pytest.mark.parametrize(
    ("world", "folds", "expected"),
    [
        (3, 3, [(0, 0, 1), (1, 0, 1), (2, 0, 1)]),
        (2, 3, [(0, 0, 1), (1, 0, 1)]),
        (6, 3, [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2), (2, 0, 2), (2, 1, 2)]),
    ],
)
def test_every_fold_gets_as_many_processes_as_any_other(launched, world, folds, expected):
    for rank, (number, own, size) in enumerate(expected):
        groups, group = launched(rank, world, folds)
        assert (group.number, group.rank, group.size) == (number, own, size)
        assert groups.count == min(world, folds)


def test_all_processes_train_each_fold_together_unless_divided(launched):
    assert launched(1, 3, 3, by_fold=False)[1] is None
    # One fold gets all processes.
    assert launched(1, 3, 1)[1] is None


def test_processes_that_cannot_be_divided_evenly_are_refused(launched):
    with pytest.raises(UsageError, match="8 processes cannot be divided evenly among 3") as error:
        launched(0, 8, 3)
    assert "start 6 processes" in error.value.hint


def test_one_process_cannot_train_folds_at_the_same_time(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="by one process") as error:
        Groups(by_fold=True)
    assert "torchrun --nproc-per-node 3 -m fauds bench ... --parallel folds" in error.value.hint


def test_a_group_takes_the_next_fold_when_it_has_finished_one(launched, monkeypatch):
    # Each group has one process, which is its leader.
    monkeypatch.setattr(processes, "is_leader", lambda: True)
    monkeypatch.setattr(processes, "broadcast", lambda value: value)
    first, second = (launched(rank, 2, 5)[0] for rank in (0, 1))
    slow, quick = first.in_turn([1, 2, 3, 5, 8]), second.in_turn([1, 2, 3, 5, 8])
    assert next(slow) == 1
    assert [next(quick), next(quick), next(quick)] == [2, 3, 5]
    assert list(slow) == [8]
    assert list(quick) == []


def test_one_process_takes_all_folds(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    groups = Groups()
    assert groups.is_first and groups.share("plan") == "plan"
    groups.wait()
    assert list(groups.in_turn([2, 1])) == [2, 1]


def test_a_process_with_a_fold_of_its_own_uses_its_own_gpu_and_no_other_process(monkeypatch):
    launched = {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "localhost"}
    for name, value in {**launched, "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    try:
        processes.join_group(cpu=False, group=processes.Group(2, 0, 1))
        assert chosen == [2]
        assert processes.is_leader()
        assert processes.gather("alone") == ["alone"]
        assert not torch.distributed.is_initialized()
        assert {name: os.environ[name] for name in launched} == launched
    finally:
        processes.leave_group(finished=True)
    assert not processes.is_leader()
