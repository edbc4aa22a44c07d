"""The command ``fauds bench``, which trains and tests a model on every fold."""

import shlex
from pathlib import Path
from typing import Any

import click

from fauds.cli.options import DATASET, WORKDIR, new_progress, new_project, read_frames, read_options


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
    help="Train and test only this fold; may be repeated.",
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
    log: str | None,
    **reading: Any,
) -> None:
    """Train MODEL on every fold, test it on the fold's test part, and write a report.

    MODEL is one of the models that --list shows; leave it out with --resume.

    To use several GPUs of one machine: torchrun --nproc-per-node N -m fauds bench ...
    """
    if listing or describe:
        from fauds.report.protocol import show_protocol, show_protocols

        return show_protocol(describe, workdir) if describe else show_protocols()
    from fauds.cli.terminal import show_results
    from fauds.runs import plan as planning
    from fauds.training import processes

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
    prepares = processes.is_leader() and not resume
    frames = read_frames(project, **reading) if prepares else None
    with processes.process_group():
        try:
            with new_progress(shown=processes.is_leader()) as progress:
                project.bench(plan, frames, progress, tensorboard=log == "tensorboard")
        except BaseException:
            if plan.exists and processes.is_leader():
                words = ["fauds", "bench", "--dataset", dataset, "--workdir", str(workdir)]
                again = shlex.join([*words, "--resume", plan.folder.name])
                click.echo(f"Finished work is kept. Go on with: {again}", err=True)
            raise
        if processes.is_leader():
            show_results(plan.folder)
