"""One run of ``fauds bench``: its folds are trained and tested, one or several at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fauds.errors import DataError
from fauds.faces.frame_images import check_unchanged
from fauds.runs.fold import FoldRun, Progress
from fauds.runs.inputs import Inputs, check_folds, copy_folds, load, planned_folds
from fauds.runs.plan import Plan
from fauds.tables import store
from fauds.tables.paths import PREDICTIONS, fold_folder
from fauds.training.device import make_accelerator
from fauds.training.groups import Groups


@dataclass(frozen=True)
class Run:
    """A run of ``fauds bench`` that has begun.

    Attributes:
        plan: the plan of the run: model, settings and protocol.
        inputs: the frames, folds and captions, which all folds read.
        folds: the numbers of all folds of the run.
    """

    plan: Plan
    inputs: Inputs
    folds: list[int]

    @property
    def missing(self) -> list[int]:
        """The numbers of the run's folds that have no predictions yet."""
        return [
            fold
            for fold in self.folds
            if not (fold_folder(self.plan.folder, fold) / PREDICTIONS).exists()
        ]

    def predict(self, groups: Groups, progress: Progress, *, tensorboard: bool = False) -> None:
        """Train and test the folds of the plan's `only`, or all folds if it is empty.

        Folds that have predictions already are left out.

        A fold that was stopped is resumed from its newest checkpoint. Each group of processes
        trains one fold at a time; the first process of the group writes the files of the fold.
        These folds are finished when this function returns.

        Args:
            groups: the processes of the run.
            progress: shows the progress to the user.
            tensorboard: whether to write TensorBoard event files beside log.jsonl.

        Raises:
            DataError: images are missing or damaged, or a loss or a prediction is not finite.
        """
        only = self.plan.only or self.folds
        # Other processes might already find predictions that are written now.
        unfinished = groups.share([fold for fold in self.missing if fold in only])
        for fold in groups.in_turn(unfinished):
            try:
                FoldRun(self.plan, self.inputs, fold, progress).run(tensorboard)
            except DataError:
                # If an image cannot be read since crops were replaced, report that instead.
                check_unchanged(self.inputs.face_images)
                raise
        groups.wait()


@contextmanager
def begin_run(tables: Path, plan: Plan, groups: Groups) -> Iterator[Run]:
    """Return a context manager that begins or resumes a run, and gives the run.

    Until the context manager ends, the first process locks the run's folder.

    Args:
        tables: the folder of the dataset's tables: frames, captions, phrases, vocabulary, folds.
        plan: the plan of the run: model, settings and protocol.
        groups: the processes of the run.

    Raises:
        UsageError: a fold does not exist, or the device does not support the precision.
        DataError: tables or images are missing, damaged, or do not belong together.
    """
    if not groups.is_first:
        # The first process checks everything before, so that an error is reported only once.
        groups.wait()
        yield _load_run(tables, plan)
        return
    # An unsupported precision must be an error before any file is written.
    make_accelerator(plan.settings)
    run = _load_run(tables, plan)
    check_folds(plan, run.inputs, run.folds)
    plan.claim()
    with store.lock(plan.folder):
        copy_folds(tables, plan)
        plan.save(run.inputs.made_from)
        groups.wait()
        yield run


def _load_run(tables: Path, plan: Plan) -> Run:
    inputs = load(tables, plan)
    return Run(plan, inputs, planned_folds(plan, inputs.folds))
