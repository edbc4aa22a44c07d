"""One run of the bench: its folds trained and tested, one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fauds.errors import DataError
from fauds.faces.frame_images import check_unchanged
from fauds.runs.fold import OneFold, Progress
from fauds.runs.inputs import Inputs, copy_folds, load, wanted_folds
from fauds.runs.plan import Plan
from fauds.tables import store
from fauds.tables.paths import PREDICTIONS, fold_folder
from fauds.training import processes
from fauds.training.device import make_accelerator


@dataclass(frozen=True)
class Run:
    """A run that has begun: its plan, what its folds read, and the folds that are asked for."""

    plan: Plan
    inputs: Inputs
    folds: list[int]

    def predict(self, progress: Progress, *, tensorboard: bool = False) -> None:
        """Train and test the folds, until each has its predictions.

        A fold whose predictions are there is not done again; one that was stopped goes on from
        its newest checkpoint. With several processes all do this together, and the first one
        writes.

        Args:
            tensorboard: write TensorBoard's event files beside log.jsonl.

        Raises:
            DataError: images are missing or damaged, or a loss or a prediction is not finite.
        """
        left = [fold for fold in self.folds if not self._predicted(fold)]
        # All have looked before the first one writes.
        processes.wait()
        for fold in left:
            try:
                OneFold(self.plan, self.inputs, fold, progress).do(tensorboard)
            except DataError:
                # A crop that is gone has this reason, if it is one.
                check_unchanged(self.inputs.found)
                raise

    def _predicted(self, fold: int) -> bool:
        return (fold_folder(self.plan.folder, fold) / PREDICTIONS).exists()


@contextmanager
def begun(tables: Path, plan: Plan) -> Iterator[Run]:
    """Begin a run on a dataset's folder, or go on with it; the first process holds its folder.

    Args:
        tables: the dataset's folder, with frames, captions, phrases, vocabulary and folds.

    Raises:
        UsageError: a fold that does not exist, or a precision that the device does not have.
        DataError: tables or images are missing, damaged, or do not belong together.
    """
    # What the device cannot do is said before the run begins.
    make_accelerator(plan.settings)
    inputs = load(tables, plan)
    run = Run(plan, inputs, wanted_folds(plan, inputs))
    if not processes.leads():
        processes.wait()
        yield run
        return
    plan.claim()
    with store.lock(plan.folder):
        copy_folds(tables, plan)
        plan.save(inputs.made_from)
        processes.wait()
        yield run
