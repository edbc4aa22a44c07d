"""One run of ``fauds bench``: its folds are trained and tested one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fauds.errors import DataError
from fauds.faces.frame_images import check_unchanged
from fauds.runs.fold import FoldRun, Progress
from fauds.runs.inputs import Inputs, copy_folds, folds_to_run, load
from fauds.runs.plan import Plan
from fauds.tables import store
from fauds.tables.paths import PREDICTIONS, fold_folder
from fauds.training import processes
from fauds.training.device import make_accelerator


@dataclass(frozen=True)
class Run:
    """A run of ``fauds bench`` that has begun.

    Attributes:
        plan: the plan of the run: model, settings and protocol.
        inputs: the frames, folds and captions, which all folds read.
        folds: the numbers of the folds to run.
    """

    plan: Plan
    inputs: Inputs
    folds: list[int]

    def predict(self, progress: Progress, *, tensorboard: bool = False) -> None:
        """Train and test all folds that have no predictions yet.

        A fold that was stopped is resumed from its newest checkpoint. With several processes, all
        processes take part, and the first process writes the files.

        Args:
            progress: shows the progress to the user.
            tensorboard: whether to write TensorBoard event files beside log.jsonl.

        Raises:
            DataError: images are missing or damaged, or a loss or a prediction is not finite.
        """
        unfinished = [fold for fold in self.folds if not self._predicted(fold)]
        # All processes must check for predictions before the first one writes some.
        processes.wait_for_all()
        for fold in unfinished:
            try:
                FoldRun(self.plan, self.inputs, fold, progress).run(tensorboard)
            except DataError:
                # If an image cannot be read since crops were replaced, report that instead.
                check_unchanged(self.inputs.face_images)
                raise

    def _predicted(self, fold: int) -> bool:
        return (fold_folder(self.plan.folder, fold) / PREDICTIONS).exists()


@contextmanager
def begin_run(tables: Path, plan: Plan) -> Iterator[Run]:
    """Return a context manager that begins or resumes a run, and gives the run.

    Until the context manager ends, the first process locks the run's folder.

    Args:
        tables: the folder of the dataset's tables: frames, captions, phrases, vocabulary, folds.
        plan: the plan of the run: model, settings and protocol.

    Raises:
        UsageError: a fold does not exist, or the device does not support the precision.
        DataError: tables or images are missing, damaged, or do not belong together.
    """
    # An unsupported precision must be an error before any file is written.
    make_accelerator(plan.settings)
    inputs = load(tables, plan)
    run = Run(plan, inputs, folds_to_run(plan, inputs))
    if not processes.is_leader():
        processes.wait_for_all()
        yield run
        return
    plan.claim()
    with store.lock(plan.folder):
        copy_folds(tables, plan)
        plan.save(inputs.made_from)
        processes.wait_for_all()
        yield run
