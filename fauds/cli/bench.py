"""The command ``fauds bench``, which trains and tests a model on every fold."""

import shlex
from pathlib import Path
from typing import Any

import click

from fauds.cli.options import DATASET, WORKDIR, new_progress, new_project, read_frames, read_options
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
@DATASET
@read_options
@click.option(
    "--preset",
    help="Named set of settings of the model.  [default: tiny for the dataset synthetic, otherwise "
    "the model's default preset]",
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
    dataset: str,
    preset: str | None,
    folds: tuple[int, ...],
    changes: tuple[str, ...],
    faces: Path | None,
    resume: str | None,
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
    from fauds.runs import plan as planning
    from fauds.training.groups import process_groups

    project = new_project(workdir, dataset)
    workspace = project.workspace
    request = planning.RunRequest(model, preset, folds, changes, faces, resume)
    if faces is not None and workspace.protocol.is_joined:
        raise click.UsageError(
            f"{dataset} joins two datasets and uses their crops: leave out --faces."
        )
    plan = planning.make_plan(request, workspace.protocol, workspace.folder / "runs")
    if resume and any(value is not None for value in reading.values()):
        raise click.UsageError(
            "A resumed run reads no raw files: leave out --root and the options for reading them."
        )
    with process_groups(by_fold=parallel == "folds") as groups:
        where = ["--dataset", dataset, "--workdir", str(workdir)]
        again = ["fauds", "bench", *where, "--resume", plan.folder.name]
        if groups.processes > 1:
            again = ["torchrun", "--nproc-per-node", str(groups.processes), "-m", *again]
        if parallel:
            again += ["--parallel", parallel]
        try:
            prepares = groups.is_first and not resume
            frames = read_frames(project, **reading) if prepares else None
            with new_progress(shown=groups.is_first) as progress:
                tensorboard = log == "tensorboard"
                missing = project.bench(plan, frames, progress, groups, tensorboard=tensorboard)
        except UsageError:
            raise
        except BaseException:
            if plan.exists and groups.is_first:
                again += [word for fold in plan.only for word in ("--fold", str(fold))]
                click.echo(f"Finished work is kept. Go on with: {shlex.join(again)}", err=True)
            raise
        if not groups.is_first:
            return
        if missing:
            listed = ", ".join(map(str, missing))
            click.echo(f"Not finished: fold {listed}. Go on with: {shlex.join(again)}", err=True)
        else:
            show_results(plan.folder)
