"""The commands for runs and predictions: report, compare, merge, results, score."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fauds.cli.options import DATASET, WORKDIR, new_progress, new_project
from fauds.errors import UsageError

if TYPE_CHECKING:
    from fauds.evaluation.finished import CountedRun


_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--with-faces", is_flag=True, help="Also show faces of licensed datasets in report.html."
)
@click.option(
    "--latex",
    type=_FILE,
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write only a LaTeX table of the runs, to FILE or, without FILE, to stdout.",
)
@DATASET
@WORKDIR
def report(
    runs: tuple[str, ...], with_faces: bool, latex: Path | None, dataset: str, workdir: Path
) -> None:
    """Write the reports of finished RUNs again from their files, and show their tables.

    RUN is a run's folder, or the name of a run of --dataset. Each run gets its own report.md. One
    report.html compares all runs, and is written into the folder of the first run.
    """
    from fauds.evaluation.finished import locate, read

    folders = [locate(name, workdir / dataset / "runs") for name in runs]
    finished = [read(folder) for folder in folders]
    if latex is not None:
        from fauds.report.latex import latex_table

        _write(latex, latex_table(finished))
        return
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                "A report is written into a run's folder, but this is a file.",
                where=folder,
                hint="give the run's folder; only with --latex can results.json files be given",
            )
    from fauds.cli.terminal import show_results
    from fauds.report.html import write_html
    from fauds.report.markdown import write_report

    for folder in folders:
        write_report(folder)
        show_results(folder)
    click.echo(write_html(folders, with_faces=with_faces))


@click.command()
@click.argument("a", metavar="RUN_A")
@click.argument("b", metavar="RUN_B")
@click.option(
    "--json", "data", type=_FILE, metavar="FILE", help="Write all values as JSON; - for stdout."
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True, max=100),
    metavar="POINTS",
    help="Also say whether the two are equivalent: whether the interval of their difference lies "
    "within this many percentage points.",
)
@DATASET
@WORKDIR
def compare(
    a: str, b: str, data: Path | None, margin: float | None, dataset: str, workdir: Path
) -> None:
    """Test whether two models differ on the same frames, and by how much.

    RUN_A and RUN_B are each a run's folder, the name of a run of --dataset, or a results.json file
    (the other files of the run are not needed). For a model that was trained with several seeds,
    separate its runs by commas: RUN,RUN,RUN.
    """
    from fauds.evaluation.compare import compare_runs
    from fauds.evaluation.finished import count_runs
    from fauds.report.compare import as_data, show_comparison

    places = workdir / dataset / "runs"
    pair = compare_runs(_side(a, places), _side(b, places))
    within = None if margin is None else margin / 100
    if data is None or str(data) != "-":
        runs = count_runs(places, pair.a[0].results.protocol_hash)
        show_comparison(pair, within, runs)
    if data is not None:
        _write_json(data, as_data(pair, within))


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@DATASET
@WORKDIR
def merge(runs: tuple[str, ...], dataset: str, workdir: Path) -> None:
    """Join the finished folds of RUNs with the same settings into one run, and score it.

    RUN is a run's folder, which may be copied from another machine, or the name of a run of
    --dataset. The runs must be of one model, with the same settings, tables and versions of
    packages, and no fold may be finished in two of them.
    """
    from fauds.cli.terminal import show_results
    from fauds.evaluation.finished import locate

    project = new_project(workdir, dataset)
    show_results(project.merge([locate(name, workdir / dataset / "runs") for name in runs]))


def _side(joined: str, places: Path) -> "list[CountedRun]":
    """Return the runs of one of the two models that are compared.

    Args:
        joined: the names or paths of the runs, separated by commas. A text that is the path of an
            existing file or folder is not split, as a path may contain commas.
        places: the folder that contains the runs of the dataset.
    """
    from fauds.evaluation.finished import load, locate

    names = [joined] if Path(joined).exists() else joined.split(",")
    return [load(locate(name.strip(), places)) for name in names]


@click.command()
@click.option(
    "--dataset", metavar="D", help="List only the runs of this dataset.  [default: all datasets]"
)
@click.option(
    "--json", "data", type=_FILE, metavar="FILE", help="Write the list as JSON; - for stdout."
)
@click.option(
    "--csv", "table", type=_FILE, metavar="FILE", help="Write the list as CSV; - for stdout."
)
@WORKDIR
def results(dataset: str | None, data: Path | None, table: Path | None, workdir: Path) -> None:
    """List all runs in the workdir, finished and unfinished."""
    from fauds.report.listing import as_csv, as_data, list_runs, show_runs

    runs = list_runs(workdir, dataset)
    if not any(str(file) == "-" for file in (data, table)):
        if runs:
            show_runs(runs)
        else:
            click.echo(f"{workdir / (dataset or '')}: no run yet; start one with fauds bench MODEL")
    if data is not None:
        _write_json(data, as_data(runs))
    if table is not None:
        _write(table, as_csv(runs))


def _write_json(file: Path, value: Any) -> None:
    _write(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write(file: Path, text: str) -> None:
    """Write a text to a file atomically, and print the file's path to stderr.

    Args:
        file: the file to write; ``-`` prints the text to stdout instead.
        text: the text.
    """
    from fauds.tables import store

    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        store.write_text(file, text)
        click.echo(file, err=True)


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path, exists=True))
@DATASET
@click.option(
    "--name", help="Name of the model that made the predictions.  [default: the file's name]"
)
@click.option(
    "--missing",
    type=click.Choice(["refuse", "drop", "inactive"]),
    help="What to do with frames without a prediction: report an error (refuse), leave the frames "
    "out (drop), or score all AUs as inactive in them (inactive).  [default: as in the benchmark, "
    "which is refuse in those of fauds]",
)
@WORKDIR
def score(
    predictions: Path,
    dataset: str,
    name: str | None,
    missing: Literal["refuse", "drop", "inactive"] | None,
    workdir: Path,
) -> None:
    """Score the PREDICTIONS of another program exactly as fauds bench scores its own models.

    PREDICTIONS is a CSV or Parquet file with the columns subject, task and frame, or key, and one
    column per action unit (AU01: a probability, or a decision 0 or 1; AU01_r: an intensity, 0 to 5)
    or class (a probability); a folder of OpenFace's CSV files, named after the sequences
    (F001_T1.csv, SN001.csv); a CSV file of py-feat; or a run of fauds.
    """
    from fauds.cli.terminal import show_results
    from fauds.evaluation.external.match import ScoreRequest

    request = ScoreRequest(predictions, name, missing)
    project = new_project(workdir, dataset)
    show_results(project.score(request, click.echo, new_progress()))
