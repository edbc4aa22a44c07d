"""One run of the bench: its folds one after the other, then the results of all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds import store
from fauds.bench import finish
from fauds.bench.faces import check_unchanged
from fauds.bench.inputs import Inputs, copy_folds, load, wanted_folds
from fauds.bench.onefold import OneFold, Progress
from fauds.bench.plan import Plan
from fauds.errors import DataError
from fauds.training import processes
from fauds.training.device import make_accelerator


def run(tables: Path, plan: Plan, progress: Progress, *, tensorboard: bool = False) -> Path:
    """Train and test a model on the folds of a dataset's folder; return the run's folder.

    A fold whose predictions are there is not done again; one that was stopped goes on from its
    newest checkpoint. results.json is written when all asked folds are there. With several
    processes all do this together, and the first one writes.

    Args:
        tables: the dataset's folder, with frames, captions, phrases, vocabulary and folds.
        tensorboard: write TensorBoard's event files beside log.jsonl.

    Raises:
        UsageError: a fold that does not exist, or a precision that the device does not have.
        DataError: tables or images are missing, damaged, or do not belong together.
    """
    # What the device cannot do is said before the run begins.
    make_accelerator(plan.settings)
    inputs = load(tables, plan)
    folds = wanted_folds(plan, inputs)
    with _begun(tables, plan, inputs):
        left = [fold for fold in folds if not _predicted(plan, fold)]
        # All have looked before the first one writes.
        processes.wait()
        for fold in left:
            try:
                OneFold(plan, inputs, fold, progress).do(tensorboard)
            except DataError:
                # A crop that is gone has this reason, if it is one.
                check_unchanged(inputs.found)
                raise
        if processes.leads():
            finish.write_results(plan, inputs, folds)
    return plan.folder


@contextmanager
def _begun(tables: Path, plan: Plan, inputs: Inputs) -> Iterator[None]:
    """Begin the run, or go on with it; the leader holds its folder."""
    if not processes.leads():
        processes.wait()
        yield
        return
    plan.claim()
    with store.lock(plan.folder):
        copy_folds(tables, plan)
        plan.save(inputs.made_from)
        processes.wait()
        yield


def _predicted(plan: Plan, fold: int) -> bool:
    return (plan.folder / f"fold{fold}" / finish.PREDICTIONS).exists()
