"""The command ``fauds bench``, which trains and tests a model on every fold."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fauds.cli.options import (
    NAMED_DATASET,
    WORKDIR,
    new_progress,
    new_project,
    read_frames,
    read_options,
)
from fauds.errors import UsageError


@click.command()
@click.argument("model", required=False)
@click.option(
    "--list", "listing", is_flag=True, help="List the benchmarks and the models, and exit."
)
@click.option(
    "--describe",
    metavar="NAME|FILE",
    help="Print the definition of a benchmark (folds, frames, metric, licence), and exit.",
)
@NAMED_DATASET
@read_options
@click.option(
    "--preset",
    help="Named set of settings of the model.  [default: tiny on synthetic data, otherwise the "
    "model's default preset]",
)
@click.option(
    "--fold",
    "folds",
    type=int,
    multiple=True,
    help="Train and test only this fold, or with --resume go on with only this fold; may be "
    "repeated.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting, such as training.epochs=5; may be repeated.",
)
@click.option(
    "--faces",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of face crops that another program made, such as F001/T1/2440.jpg (BP4D) or "
    "SN001/0.png (DISFA).",
)
@click.option("--resume", metavar="RUN", help="Resume a run that was stopped.")
@click.option(
    "--control/--no-control",
    default=None,
    help="Also train the model's control, the same model without what it is about (au-cues: the AU "
    "term), and compare the two.  [default: for a model that has a control, if no --dataset is "
    "named]",
)
@click.option(
    "--parallel",
    type=click.Choice(["folds"]),
    help="With several processes: train several folds at the same time, each by processes of its "
    "own.",
)
@click.option(
    "--log",
    type=click.Choice(["tensorboard"]),
    help="Also write the training log for TensorBoard; log.jsonl is always written.",
)
@WORKDIR
def bench(
    workdir: Path,
    model: str | None,
    listing: bool,
    describe: str | None,
    dataset: str | None,
    preset: str | None,
    folds: tuple[int, ...],
    changes: tuple[str, ...],
    faces: Path | None,
    resume: str | None,
    control: bool | None,
    parallel: str | None,
    log: str | None,
    **reading: Any,
) -> None:
    """Train MODEL on every fold, test it on the fold's test part, and write a report.

    MODEL is one of the models that --list shows; leave it out with --resume.

    On several GPUs of one machine, start a process for each:

    \b
        torchrun --nproc-per-node N -m fauds bench ...
        torchrun --nproc-per-node N -m fauds bench ... --parallel folds

    The first trains each fold by all processes together. The second trains several folds at the
    same time, with the figures of one GPU: three GPUs train three folds. Folds that were run
    separately, on one machine or several, are joined by fauds merge.
    """
    if listing or describe:
        from fauds.report.protocol import show_protocol, show_protocols

        return show_protocol(describe, workdir) if describe else show_protocols()
    from fauds.cli.terminal import show_results

    options = _Options(workdir, faces, resume, parallel, log == "tensorboard", reading)
    other = _control_changes(model, control, dataset is None and not (resume or folds))
    run = _run(options, model, dataset, preset, folds, changes)
    if run is None:
        return
    show_results(run)
    if not other:
        return
    click.echo(f"\nThe control: {model} with {' and '.join(other)}", err=True)
    of_control = _run(options, model, dataset, preset, folds, (*changes, *other))
    if of_control is not None:
        _compare(run, of_control)


@dataclass(frozen=True)
class _Options:
    """The options of ``fauds bench`` that a model and its control share; see its help."""

    workdir: Path
    faces: Path | None
    resume: str | None
    parallel: str | None
    tensorboard: bool
    reading: dict[str, Any]


def _control_changes(model: str | None, wanted: bool | None, by_default: bool) -> tuple[str, ...]:
    """Return the changes of settings that make the control of a model; empty for no control.

    Args:
        model: the name of the model; None if a run is resumed.
        wanted: whether the user asks for a control; None if the default counts.
        by_default: whether a control is trained by default.

    Raises:
        UsageError: a control is asked for, but the model has none, or a run is resumed.
    """
    from fauds import launcher
    from fauds.nn import MODELS

    changes = MODELS[model].control if model is not None else ()
    one_process = launcher.world_size() == 1
    if wanted and not (changes and one_process):
        raise UsageError(
            "The control is trained by one process only."
            if changes
            else f"{model} has no control."
            if model
            else "A resumed run is not compared.",
            where="--control",
            hint="train the run to compare with by itself, and compare them: fauds compare RUN RUN",
        )
    return changes if one_process and (by_default if wanted is None else wanted) else ()


def _compare(run: Path, control: Path) -> None:
    from fauds.evaluation.compare import compare_runs
    from fauds.evaluation.finished import load
    from fauds.report.compare import show_comparison
    from fauds.report.html import write_html

    click.echo()
    show_comparison(compare_runs([load(run)], [load(control)]))
    click.echo(f"\n{write_html([run, control])}: both runs")


def _run(
    options: _Options,
    model: str | None,
    dataset: str | None,
    preset: str | None,
    folds: tuple[int, ...],
    changes: tuple[str, ...],
) -> Path | None:
    """Train and test a model on every fold, and return the folder of the finished run.

    Returns:
        The folder; None if folds are left, and in every process of a distributed run except the
        first.

    Raises:
        UsageError, DataError: see `fauds.pipeline.Project.bench`.
    """
    from fauds.nn import MODELS
    from fauds.runs import plan as planning
    from fauds.training.groups import process_groups

    if dataset is None:
        dataset = "synthetic" if model is None else MODELS[model].benchmark
    resume, parallel = options.resume, options.parallel
    project = new_project(options.workdir, dataset)
    workspace = project.workspace
    request = planning.RunRequest(model, preset, folds, changes, options.faces, resume)
    if options.faces is not None and workspace.protocol.is_joined:
        raise click.UsageError(
            f"{dataset} joins two datasets and uses their crops: leave out --faces."
        )
    plan = planning.make_plan(request, workspace.protocol, workspace.folder / "runs")
    if resume and any(value is not None for value in options.reading.values()):
        raise click.UsageError(
            "A resumed run reads no raw files: leave out --root and the options for reading them."
        )
    with process_groups(by_fold=parallel == "folds") as groups:
        where = ["--dataset", dataset, "--workdir", str(options.workdir)]
        again = ["fauds", "bench", *where, "--resume", plan.folder.name]
        if groups.processes > 1:
            again = ["torchrun", "--nproc-per-node", str(groups.processes), "-m", *again]
        if parallel:
            again += ["--parallel", parallel]
        try:
            prepares = groups.is_first and not resume
            frames = read_frames(project, **options.reading) if prepares else None
            with new_progress(shown=groups.is_first) as progress:
                tensorboard = options.tensorboard
                missing = project.bench(plan, frames, progress, groups, tensorboard=tensorboard)
        except UsageError:
            raise
        except BaseException:
            if plan.exists and groups.is_first:
                again += [word for fold in plan.only for word in ("--fold", str(fold))]
                click.echo(f"Finished work is kept. Go on with: {shlex.join(again)}", err=True)
            raise
        if not groups.is_first:
            return None
        if missing:
            listed = ", ".join(map(str, missing))
            click.echo(f"Not finished: fold {listed}. Go on with: {shlex.join(again)}", err=True)
            return None
    return plan.folder
