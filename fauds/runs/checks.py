"""Checks of what a run needs of the machine, before anything that takes long.

The checks cover the device, pretrained weights, disk space and shared memory. The time that the run
will take is estimated from a few steps of its model.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from fauds.errors import UsageError
from fauds.nn import presets
from fauds.nn.base import Model
from fauds.runs.inputs import planned_folds, read_folds
from fauds.runs.plan import Plan
from fauds.settings import ModelSettings, TrainingSettings
from fauds.tables import store
from fauds.tables.disk import free_space, require_space, size_text
from fauds.tables.frames import split_groups
from fauds.tables.paths import FRAMES, PREDICTIONS, WEIGHTS, fold_folder
from fauds.tables.schemas import SPLIT
from fauds.training import checkpoint, timing
from fauds.training.batches import (
    SHARED_MEMORY,
    fitting_workers,
    largest_micro_batch,
    steps_an_epoch,
)
from fauds.training.device import device_description, loader_workers, make_accelerator
from fauds.training.loop import build_model
from fauds.training.nvidia import reason_unused

LARGE_BACKBONE = 10_000_000
"""The number of parameters above which a backbone is trained on a CPU only if the user asks for it.

It is between the small backbones that train on a CPU in minutes or hours and the smallest one of
the published methods: ResNet-50 has 24 million, Swin-B 87 million.
"""

Say = Callable[[str], None]
"""A function that is called with each line of text for the user."""


@dataclass(frozen=True)
class FoldWork:
    """What is left to do for one fold.

    Attributes:
        folder: the folder of the fold.
        training: the number of frames that the fold can train on.
        testing: the number of frames to test.
        epochs: the number of epochs that are left; 0 if the fold is trained and only tested.
    """

    folder: Path
    training: int
    testing: int
    epochs: int

    @property
    def begun(self) -> bool:
        """Whether the fold has weights of its own, so that no pretrained ones are needed."""
        return (self.folder / WEIGHTS).exists() or bool(checkpoint.list_checkpoints(self.folder))


def check_machine(plan: Plan, tables: Path, say: Say, groups: int = 1) -> int:
    """Check that this machine can do a run, and say on what and for how long it will compute.

    A new run has no captions and no crops yet: the number of frames is that of the frames table,
    and the texts have the lengths that `fauds.training.timing` assumes.

    Args:
        plan: the plan of the run.
        tables: the folder of the dataset's tables, which has the frames and the folds.
        say: called with each line of text for the user.
        groups: the number of folds that are trained at the same time.

    Returns:
        The bytes of disk space that the checkpoints and weights of the run will take.

    Raises:
        UsageError: a large backbone would be trained on a CPU without being asked to, the memory
            of the GPU is too small, or a fold does not exist.
        DataError: pretrained weights are not available, or the disk has too little space.
    """
    work = _work_left(plan, tables)
    if not work:
        return 0
    settings, target = plan.settings, plan.benchmark.target
    accelerator = make_accelerator(settings)
    on_request = settings.training.device == "cpu"
    reason = None if on_request else reason_unused()
    with timing.random_state_kept(accelerator.device):
        model = _build(plan, settings.model.untrained())
        needed = _disk_space(work, model, settings.training, groups)
        times = timing.measure(model, settings, accelerator, target.names, target.form)
        step = times.step(_faces_per_process(plan, accelerator))
        seconds = _seconds(work, settings.training, step, times.testing / accelerator.num_processes)
        on_cpu = accelerator.device.type == "cpu"
        if on_cpu and not on_request and any(fold.epochs for fold in work):
            _refuse_large_backbone(model, reason, seconds)
        del model
        _load_pretrained_weights(plan, work)
    if accelerator.device.type == "cuda":
        torch.cuda.empty_cache()
    require_space(plan.folder, {"checkpoints and weights": needed})
    if reason is not None:
        say(f"PyTorch cannot use the NVIDIA GPU of this machine: {reason}")
    for line in _computation(plan, accelerator):
        say(line)
    # Each group of processes takes the next fold when it is done with one.
    seconds *= -(-len(work) // groups) / len(work)
    epochs = sum(fold.epochs for fold in work)
    say(
        f"estimated time: about {duration_text(seconds)} for {counted(epochs, 'epoch')} in "
        f"{counted(len(work), 'fold')}, at {step:.{2 if step < 10 else 0}f} s a step, without "
        "reading images and describing faces"
    )
    return needed


def _work_left(plan: Plan, tables: Path) -> list[FoldWork]:
    """Return what is left to do for each fold of a run that has no predictions yet.

    Args:
        plan: the plan of the run.
        tables: the folder of the dataset's tables.
    """
    path = tables / FRAMES
    columns = ["subject", *(name for name in store.column_names(path) if name == SPLIT)]
    frames = Counter(split_groups(store.read_table(path, columns)).tolist())
    folds = read_folds(tables, plan)
    work = []
    planned = planned_folds(plan, folds)
    for fold in plan.only or planned:
        folder = fold_folder(plan.folder, fold)
        if (folder / PREDICTIONS).exists():
            continue
        rows = zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True)
        testing = sum(frames[subject] for subject, part in rows if part == fold)
        done = checkpoint.epochs_done(folder)
        epochs = 0 if (folder / WEIGHTS).exists() else plan.settings.training.epochs - done
        work.append(FoldWork(folder, sum(frames.values()) - testing, testing, epochs))
    return work


def _build(plan: Plan, settings: ModelSettings) -> Model:
    target = plan.benchmark.target
    sizes = timing.ASSUMED_VOCABULARY if plan.needs_captions else {}
    folder = presets.folder(plan.model)
    return build_model(plan.family, settings, target.names, target.form, sizes, folder)


def _load_pretrained_weights(plan: Plan, work: list[FoldWork]) -> None:
    """Load the weights that the backbone starts from, to find out now whether they can be loaded.

    timm keeps weights that it downloads. Nothing is loaded if every fold has weights of its own.

    Args:
        plan: the plan of the run.
        work: what is left to do for each fold.

    Raises:
        DataError: the weights are not available, or do not fit the backbone.
    """
    settings: ModelSettings = plan.settings.model
    if settings != settings.untrained() and not all(fold.begun for fold in work):
        _build(plan, settings)


def _refuse_large_backbone(model: Model, reason: str | None, seconds: float) -> None:
    """Raise an error if a model's backbone has more than `LARGE_BACKBONE` parameters.

    Args:
        model: the model that would be trained on the CPU.
        reason: why an NVIDIA GPU of this machine cannot be used; None if it has none.
        seconds: the estimated seconds of the run.

    Raises:
        UsageError: the backbone is large.
    """
    backbone = model if model.backbone is None else model.backbone
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    if parameters <= LARGE_BACKBONE:
        return
    problem = (
        "PyTorch finds no GPU on this machine"
        if reason is None
        else f"PyTorch cannot use the NVIDIA GPU of this machine ({reason})"
    )
    raise UsageError(
        f"{problem}, and on the CPU this run would take about {duration_text(seconds)}: the "
        f"backbone has {parameters / 1e6:.0f} million parameters.",
        where="training.device=auto",
        hint="train on a machine with a GPU, or choose a smaller backbone; to train on the CPU all "
        "the same, add --set training.device=cpu",
    )


def _faces_per_process(plan: Plan, accelerator: Accelerator) -> int:
    """Return the largest number of faces that a process has in a training step."""
    world: int = accelerator.num_processes
    return -(-plan.settings.training.batch_size // world)


def _seconds(
    work: list[FoldWork], training: TrainingSettings, step: float, testing: float
) -> float:
    """Return the estimated seconds of training and testing.

    Validation subjects are counted as trained on, and not as tested after each epoch.

    Args:
        work: what is left to do for each fold.
        training: the settings of training.
        step: the seconds of a training step.
        testing: the seconds per face of testing, with all processes.
    """
    each_epoch = training.watch_test or training.validation_subjects > 0
    return sum(
        fold.epochs * steps_an_epoch(fold.training, training) * step
        + (1 + each_epoch * fold.epochs) * fold.testing * testing
        for fold in work
    )


def _disk_space(work: list[FoldWork], model: Model, training: TrainingSettings, groups: int) -> int:
    """Return the bytes of disk space that checkpoints and weights will take in addition.

    Two checkpoints of a fold are kept while a third one is written, for each fold that is trained
    at the same time; a trained fold keeps only its weights.

    Args:
        work: what is left to do for each fold.
        model: the model.
        training: the settings of training: checkpoints may have a moving average of the weights,
            and what the optimiser keeps of each gradient.
        groups: the number of folds that are trained at the same time.
    """
    untrained = [fold.folder for fold in work if fold.epochs]
    if not untrained:
        return 0
    weights = sum(int(tensor.nbytes) for tensor in model.state_dict().values())
    trained = sum(int(p.nbytes) for group in model.param_groups().values() for p in group)
    moments = {"adamw": 2, "sgd": 1}[training.optimiser]
    one = (1 + (training.ema is not None)) * weights + moments * trained
    existing = [path for folder in untrained for path in checkpoint.list_checkpoints(folder)]
    checkpoints = 3 * one * min(groups, len(untrained))
    existing_size = sum(path.stat().st_size for path in existing)
    return max(0, checkpoints + weights * len(untrained) - existing_size)


def _computation(plan: Plan, accelerator: Accelerator) -> list[str]:
    """Return how the run will compute, as lines of text.

    They name the device, the precision, how a step is divided, and the number of processes that
    load images, with the reason if these are fewer than would be best.
    """
    settings, world = plan.settings, accelerator.num_processes
    wanted = loader_workers(settings, accelerator)
    faces = largest_micro_batch(settings.training, world)
    workers = fitting_workers(wanted, faces, settings.model.image_size)
    parts = [
        f"{_faces_per_process(plan, accelerator)} faces{' per process' * (world > 1)} in a step"
    ]
    if settings.training.accumulate > 1:
        parts.append(f"{settings.training.accumulate} micro-batches")
    if workers:
        parts.append(f"{workers} loader process{'es' * (workers > 1)}{' each' * (world > 1)}")
    lines = [f"computing on {device_description(accelerator)}: {', '.join(parts)}"]
    if workers < wanted:
        lines.append(
            f"{SHARED_MEMORY} has {size_text(free_space(SHARED_MEMORY))} free, too little for "
            f"{wanted} loader processes: {workers or 'none'} will load images; a container gets "
            "more by docker run --shm-size=1g"
        )
    return lines


def duration_text(seconds: float) -> str:
    """Return a time in the unit that suits it, such as "25 minutes" or "3 days"."""
    for unit, length in (("day", 86_400), ("hour", 3600)):
        if seconds >= 2 * length:
            return counted(round(seconds / length), unit)
    return counted(max(1, round(seconds / 60)), "minute")


def counted(count: int, name: str) -> str:
    """Return a number of things as text, such as "1 fold" or "3 folds"."""
    return f"{count:,} {name}{'s' * (count != 1)}"
