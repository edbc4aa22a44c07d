"""What is checked and printed before a run: device, weights, disk, shared memory and time."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from fauds.errors import DataError, UsageError
from fauds.nn import presets
from fauds.pipeline import Project
from fauds.protocols import benchmark as protocols
from fauds.runs import checks
from fauds.runs import plan as planning
from fauds.runs.checks import LARGE_BACKBONE, check_machine, duration_text
from fauds.runs.plan import Plan, RunRequest
from fauds.tables.paths import PREDICTIONS, SETTINGS, WEIGHTS
from fauds.training import batches, checkpoint, timing
from fauds.training.device import make_accelerator
from fauds.training.loop import build_model
from fauds.training.optimiser import make_optimiser
from fauds.training.timing import StepTimes
from tests.helpers import NO_TEXTS, small

LINEAR = (
    "model.backbone.weights=null",
    "model.backbone.args={embed_dim: 16, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}",
    "model.image_size=56",
    "training.epochs=2",
    "training.batch_size=16",
)
RESNET = ("model.backbone.name=resnet18", "model.backbone.args={}", "model.backbone.weights=null")
"""A backbone of 11 million parameters: the smallest usual one that is too large for a CPU."""

OLD_DRIVER = "its driver 470.82.01 is too old: PyTorch 2.15.0+cu132 has CUDA 13.2"


@pytest.fixture(scope="module")
def tables(bp4d_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with frames and folds: three subjects with 48 frames each, a fold each."""
    project = Project(tmp_path_factory.mktemp("tables"), "bp4d")
    project.folds(project.frames(bp4d_root), method="random")
    return project.workspace.folder


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test depend on the GPU of the machine that it runs on: there is none."""

    def on_cpu(settings: Any) -> Any:
        training = settings.training.model_copy(update={"device": "cpu"})
        return make_accelerator(settings.model_copy(update={"training": training}))

    monkeypatch.setattr(checks, "make_accelerator", on_cpu)
    monkeypatch.setattr(checks, "reason_unused", lambda: None)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> StepTimes:
    """Return the times that every model takes: a face 0.5 s, an update 1 s, a test 0.1 s."""
    fixed = StepTimes(0.5, 1.0, 0.1)
    monkeypatch.setattr(timing, "measure", lambda *_: fixed)
    return fixed


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    def plan(*changes: str, folds: tuple[int, ...] = (), resume: str | None = None) -> Plan:
        preset, settings = (None, changes) if resume else ("tiny", (*LINEAR, *changes))
        request = RunRequest("linear", preset, folds, settings, resume=resume)
        return planning.make_plan(request, protocols.benchmark("bp4d"), tmp_path / "runs")

    return plan


def lines_of(plan: Plan, tables: Path) -> list[str]:
    lines: list[str] = []
    check_machine(plan, tables, lines.append)
    return lines


def seconds_of(plan: Plan, tables: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the estimated seconds."""
    estimates: list[float] = []
    monkeypatch.setattr(checks, "duration_text", lambda s: estimates.append(s) or "soon")
    lines_of(plan, tables)
    return estimates[-1]


def test_device_precision_faces_and_time_are_printed(plan_of, tables, times):
    assert lines_of(plan_of(), tables) == [
        "computing on CPU, float32: 16 faces in a step",
        # Three folds of two epochs, each of six steps of 9 s; and 144 tests.
        "estimated time: about 6 minutes for 6 epochs in 3 folds, at 9.00 s a step, without "
        "reading images and describing faces",
    ]


def test_a_measured_time_is_printed(plan_of, tables):
    *_, line = lines_of(plan_of(), tables)
    assert re.match(
        r"estimated time: about \d+ \w+ for 6 epochs in 3 folds, at \d+\.\d\d s a", line
    )


def test_processes_and_micro_batches_are_printed(plan_of, tables, times, monkeypatch):
    def of_four(settings: Any) -> Any:
        device = torch.device("cpu")
        return SimpleNamespace(device=device, num_processes=4, mixed_precision="bf16")

    monkeypatch.setattr(checks, "make_accelerator", of_four)
    changes = ("training.batch_size=64", "training.accumulate=2", "training.workers=3")
    assert lines_of(plan_of(*changes), tables) == [
        "computing on CPU, bfloat16, 4 processes: 16 faces per process in a step, 2 micro-batches, "
        "3 loader processes each",
        # Two steps an epoch, each of 16 faces; a quarter of the tests.
        "estimated time: about 2 minutes for 6 epochs in 3 folds, at 9.00 s a step, without "
        "reading images and describing faces",
    ]


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ((), 1),
        (("training.watch_test=true",), 3),
        (("training.validation_subjects=1",), 3),
    ],
)
def test_the_time_is_that_of_all_steps_and_tests(
    plan_of, tables, times, monkeypatch, changes, evaluations
):
    expected = sum(2 * 6 * 9.0 + evaluations * 48 * 0.1 for fold in (1, 2, 3))
    assert seconds_of(plan_of(*changes), tables, monkeypatch) == pytest.approx(expected)
    one = seconds_of(plan_of(*changes, folds=(2,)), tables, monkeypatch)
    assert one == pytest.approx(expected / 3)


def test_an_epoch_of_every_third_frame_takes_a_third_of_the_steps(
    plan_of, tables, times, monkeypatch
):
    expected = sum(2 * 2 * 9.0 + 48 * 0.1 for fold in (1, 2, 3))
    plan = plan_of("training.frame_step=3")
    assert seconds_of(plan, tables, monkeypatch) == pytest.approx(expected)


def test_a_resumed_run_takes_the_time_that_is_left(plan_of, tables, times, monkeypatch):
    plan = begun(plan_of(), tables)
    for fold, file in ((1, PREDICTIONS), (2, WEIGHTS), (3, "checkpoint-epoch1.safetensors")):
        (plan.folder / f"fold{fold}").mkdir()
        (plan.folder / f"fold{fold}" / file).touch()
    resumed = plan_of(resume=plan.folder.name)
    # Fold 1 is finished, fold 2 trained, and fold 3 trained for one of two epochs.
    expected = 48 * 0.1 + (6 * 9.0 + 48 * 0.1)
    assert seconds_of(resumed, tables, monkeypatch) == pytest.approx(expected)
    assert "for 1 epoch in 2 folds" in lines_of(resumed, tables)[-1]


def begun(plan: Plan, tables: Path) -> Plan:
    """Return a plan whose run has begun."""
    plan.claim()
    shutil.copy(tables / "folds.parquet", plan.folder / "folds.parquet")
    plan.save({})
    return plan


def test_a_finished_run_needs_nothing(plan_of, tables, monkeypatch):
    monkeypatch.setattr(timing, "measure", lambda *_: pytest.fail("a model was timed"))
    plan = begun(plan_of(folds=(1,)), tables)
    (plan.folder / "fold1").mkdir()
    (plan.folder / "fold1" / PREDICTIONS).touch()
    assert lines_of(plan_of(resume=plan.folder.name), tables) == []


def test_a_large_backbone_is_trained_on_a_cpu_only_if_asked_for(plan_of, tables, times):
    with pytest.raises(UsageError) as raised:
        lines_of(plan_of(*RESNET), tables)
    assert raised.value.what == (
        "PyTorch finds no GPU on this machine, and on the CPU this run would take about 6 minutes: "
        "the backbone has 11 million parameters."
    )
    assert "--set training.device=cpu" in raised.value.hint
    lines = lines_of(plan_of(*RESNET, "training.device=cpu"), tables)
    assert lines[0] == "computing on CPU, float32: 16 faces in a step"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "preset", "large"),
    [
        *(("vlfau", name, not name.startswith("tiny")) for name in presets.names("vlfau")),
        ("linear", "paper", True),
        ("linear", "tiny", False),
    ],
)
def test_the_backbones_of_the_papers_are_large_and_those_for_synthetic_faces_are_not(
    model, preset, large
):
    settings = presets.run_settings(model, preset).model.untrained()
    with torch.device("meta"):
        built = build_model(
            planning.MODELS[model],
            settings,
            ["AU01", "AU02"],
            "multilabel",
            timing.ASSUMED_VOCABULARY,
            presets.folder(model),
        )
    parameters = sum(parameter.numel() for parameter in built.backbone.parameters())
    assert (parameters > LARGE_BACKBONE) == large


def test_the_reason_why_a_gpu_is_not_used_is_given(plan_of, tables, times, monkeypatch):
    monkeypatch.setattr(checks, "reason_unused", lambda: OLD_DRIVER)
    with pytest.raises(UsageError, match=r"470\.82\.01 is too old") as raised:
        lines_of(plan_of(*RESNET), tables)
    assert raised.value.what.startswith("PyTorch cannot use the NVIDIA GPU of this machine (its")
    first, *_ = lines_of(plan_of(), tables)
    assert first == f"PyTorch cannot use the NVIDIA GPU of this machine: {OLD_DRIVER}"
    # Someone who asked for the CPU knows.
    assert len(lines_of(plan_of("training.device=cpu"), tables)) == 2


def test_a_trained_run_can_be_tested_on_a_cpu(plan_of, tables, times):
    plan = begun(plan_of(*RESNET, folds=(1,)), tables)
    (plan.folder / "fold1").mkdir()
    (plan.folder / "fold1" / WEIGHTS).touch()
    assert "for 0 epochs in 1 fold" in lines_of(plan_of(resume=plan.folder.name), tables)[-1]


def test_a_run_is_resumed_on_another_device_but_with_no_other_setting(plan_of, tables, times):
    plan = begun(plan_of(*RESNET, folds=(1,)), tables)
    with pytest.raises(UsageError, match="PyTorch finds no GPU"):
        lines_of(plan_of(resume=plan.folder.name), tables)
    saved = (plan.folder / SETTINGS).read_text()
    resumed = plan_of("training.device=cpu", resume=plan.folder.name)
    assert lines_of(resumed, tables)
    training = {**plan.settings.training.model_dump(), "device": "cpu"}
    assert resumed.settings.training.model_dump() == training
    assert resumed.settings.model == plan.settings.model and resumed.changes == plan.changes
    assert (plan.folder / SETTINGS).read_text() == saved
    with pytest.raises(UsageError, match="keeps its settings"):
        plan_of("training.device=cpu", "training.epochs=9", resume=plan.folder.name)
    with pytest.raises(UsageError, match="'tpu' is not a device"):
        plan_of("training.device=tpu", resume=plan.folder.name)


def test_checkpoints_of_another_device_are_accepted(plan_of):
    headers = [
        {"settings": plan_of(*changes).settings.model_dump(mode="json")}
        for changes in ((), ("training.device=cpu",), ("training.seed=7",))
    ]
    checkpoint.check(headers[0], headers[1], Path("weights"))
    with pytest.raises(DataError, match=r"settings\.training\.seed"):
        checkpoint.check(headers[0], headers[2], Path("weights"))


def test_a_fold_that_does_not_exist_is_an_error(plan_of, tables):
    with pytest.raises(UsageError, match="no fold 9"):
        lines_of(plan_of(folds=(9,)), tables)


def test_missing_weights_are_an_error_unless_every_fold_has_weights_of_its_own(
    plan_of, tables, times, tmp_path
):
    missing = f"model.backbone.weights={tmp_path / 'none.safetensors'}"
    with pytest.raises(DataError, match="no such weights file"):
        lines_of(plan_of(missing), tables)
    plan = begun(plan_of(missing, folds=(1, 2)), tables)
    (plan.folder / "fold1").mkdir()
    (plan.folder / "fold1" / "checkpoint-epoch1.safetensors").touch()
    with pytest.raises(DataError, match="no such weights file"):
        lines_of(plan_of(resume=plan.folder.name), tables)
    (plan.folder / "fold2").mkdir()
    (plan.folder / "fold2" / WEIGHTS).touch()
    assert lines_of(plan_of(resume=plan.folder.name), tables)


def test_without_network_a_bench_stops_before_captions_and_crops(cli, bp4d_root, monkeypatch, work):
    def head(url: str, **options: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_session", lambda: SimpleNamespace(head=head))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    where = ("--dataset", "bp4d", "--root", bp4d_root)
    cli.ok("split", *where, "--method", "random")
    outcome = cli("bench", "vlfau", *where, *small("model.backbone.pretrained=true"))
    assert outcome.code == 1
    assert "cannot be reached: Name or service not known" in outcome.err
    assert not (work / "bp4d" / "captions.parquet").exists()
    assert not (work / "bp4d" / "faces").exists()
    assert not (work / "bp4d" / "runs").exists()


def disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let every disk report this number of free bytes."""
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


@pytest.mark.parametrize("averaged", [False, True])
def test_the_disk_space_is_that_of_checkpoints_and_weights(
    plan_of, tables, times, monkeypatch, tmp_path, averaged
):
    """Files of the sizes that a training writes: three checkpoints of a fold, and all weights."""
    plan = plan_of(*(["training.ema=0.9"] if averaged else []))
    needed = check_machine(plan, tables, lambda line: None)
    model = build_model(
        plan.family,
        plan.settings.model,
        plan.benchmark.target.names,
        "multilabel",
        {},
        presets.folder("linear"),
    )
    optimiser = make_optimiser(model, plan.settings.training)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    state = checkpoint.training_state(model, optimiser)
    if averaged:
        state |= {f"average.{name}": t.clone() for name, t in model.state_dict().items()}
    checkpoint.save(tmp_path / "checkpoint", state, {})
    checkpoint.save(tmp_path / "weights", dict(model.state_dict()), {})
    sizes = [(tmp_path / name).stat().st_size for name in ("checkpoint", "weights")]
    assert needed == pytest.approx(3 * sizes[0] + 3 * sizes[1], rel=0.05)
    disk(monkeypatch, needed - 1)
    with pytest.raises(DataError, match="MB for checkpoints and weights are needed") as raised:
        check_machine(plan, tables, lambda line: None)
    assert raised.value.where == str(plan.folder)
    disk(monkeypatch, needed)
    assert check_machine(plan, tables, lambda line: None) == needed
    # Folds that are trained at the same time each have checkpoints of their own.
    disk(monkeypatch, 100 * needed)
    of_two = check_machine(plan, tables, lambda line: None, groups=2)
    assert of_two == pytest.approx(6 * sizes[0] + 3 * sizes[1], rel=0.05)


def test_crops_leave_space_for_the_run(cli, bp4d_root, monkeypatch, work):
    """The 144 crops of at least 1 kB each do not fit beside the 50 MB of the run."""
    where = ("--dataset", "bp4d", "--root", bp4d_root)
    cli.ok("split", *where, "--method", "random")
    monkeypatch.setattr(checks, "check_machine", lambda *_: 50_000_000)
    disk(monkeypatch, 50_100_000)
    outcome = cli("bench", "linear", *where)
    assert outcome.code == 1
    assert "The disk has 50.1 MB free" in outcome.err
    assert "for 144 crops, 50.0 MB for the files of the run are needed" in outcome.err
    assert not list(work.rglob("faces/**/*.jpg"))


def test_fewer_loader_processes_are_explained(plan_of, tables, times, monkeypatch):
    for module in (checks, batches):
        monkeypatch.setattr(module, "free_space", lambda folder: 64 * 1024**2)
    changes = ("training.workers=8", "training.batch_size=64", "model.image_size=224")
    assert lines_of(plan_of(*changes), tables)[:2] == [
        "computing on CPU, float32: 64 faces in a step, 2 loader processes",
        "/dev/shm has 67.1 MB free, too little for 8 loader processes: 2 will load images; a "
        "container gets more by docker run --shm-size=1g",
    ]


def test_nothing_is_random_in_a_check(plan_of, tables):
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), json.dumps(np.random.get_state()[1].tolist())
    lines_of(plan_of(), tables)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert json.dumps(np.random.get_state()[1].tolist()) == before[1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_tsne")
def test_a_run_with_checks_has_the_weights_of_one_without(cli, bp4d_root, tmp_path, monkeypatch):
    trained = []
    for name in ("with", "without"):
        where = ("--dataset", "bp4d", "--workdir", tmp_path / name)
        cli.ok("split", *where, "--root", bp4d_root, "--method", "random")
        if name == "without":
            monkeypatch.setattr(checks, "check_machine", lambda *_: 0)
        changes = ("training.epochs=1", *NO_TEXTS)
        words = ("--fold", 1, "--faces", bp4d_root / "2D+3D", *small(*changes))
        outcome = cli("bench", "vlfau", *where, *words)
        assert outcome.code == 0, outcome.err
        assert ("estimated time: about" in outcome.err) == (name == "with")
        (file,) = (tmp_path / name / "bp4d" / "runs").glob("*/fold1/weights.safetensors")
        trained.append(checkpoint.load(file)[0])
    assert trained[0].keys() == trained[1].keys()
    for key, tensor in trained[0].items():
        assert torch.equal(tensor, trained[1][key])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "1 minute"),
        (100, "2 minutes"),
        (3600, "60 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (100_000, "28 hours"),
        (172_800, "2 days"),
        (86_400 * 1234, "1,234 days"),
    ],
)
def test_times_are_given_in_the_unit_that_suits_them(seconds, text):
    assert duration_text(seconds) == text
