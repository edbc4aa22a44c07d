"""The command ``fauds score``. Nothing heavy is imported until it runs."""

from pathlib import Path
from typing import Literal

import click

from fauds.cli_options import DATASET, WORKDIR, new_progress, new_project


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path, exists=True))
@DATASET
@click.option("--name", help="What made the predictions.  [default: the file's name]")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "drop", "inactive"]),
    help="Frames of the protocol without a prediction: refuse the file, score without them, or "
    "score them as inactive.  [default: the benchmark's rule, which is refuse]",
)
@WORKDIR
def score(
    predictions: Path,
    dataset: str,
    name: str | None,
    missing: Literal["refuse", "drop", "inactive"] | None,
    workdir: Path,
) -> None:
    """Score PREDICTIONS made elsewhere as fauds bench scores its own.

    PREDICTIONS is a CSV or Parquet file with the columns subject, task and frame and one for
    every action unit (AU01: a probability, or a decision 0 or 1; AU01_r: an intensity, 0 to 5);
    a folder of OpenFace's CSV files, named like the sequences (F001_T1.csv, SN001.csv);
    py-feat's CSV; or a run of fauds.
    """
    from fauds.bench.scoring import ScoreRequest
    from fauds.report.terminal import show_results

    request = ScoreRequest(predictions, name, missing)
    project = new_project(workdir, dataset)
    show_results(project.score(request, click.echo, new_progress()))
