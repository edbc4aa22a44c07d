"""Writes report.html: a self-contained page about one or several runs, which needs no network."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fauds import resources
from fauds.protocols import user_files as protocol_files
from fauds.report.html.cards import cards
from fauds.report.html.runs import ReportedRun, read_runs
from fauds.report.html.sections import lost_frames, sections
from fauds.report.html.summary import sentences
from fauds.tables import store
from fauds.tables.paths import REPORT_HTML, dataset_folder


def write_html(folders: Sequence[Path], *, with_faces: bool = False) -> Path:
    """Write report.html about one or more finished runs; return its path.

    The file is written into the folder of the first run. Sections about a single run are about this
    first run.

    Args:
        folders: the folders of the runs, all of one benchmark.
        with_faces: show faces of real people too. The licences of most datasets forbid passing such
            images on.

    Raises:
        UsageError: no run is named, or the runs are of several benchmarks.
        DataError: a run has no results, or an image cannot be read.
    """
    runs = read_runs(folders)
    run = runs[0]
    faces, reason = cards(run, with_faces)
    folder = resources.path("templates", "report")
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=_title(runs),
        dataset=_dataset(run),
        runs=runs,
        synthetic=any(one.results.synthetic for one in runs),
        summary=sentences(run),
        sections=sections(runs, with_faces),
        faces=faces,
        no_images=reason,
        aus=run.results.protocol.aus,
        noun=run.target.noun,
        plural=run.target.plural,
        states=run.target.states,
        described=any(card.face_text or any(line.text for line in card.lines) for card in faces),
        language=run.results.provenance["captions"]["language"],
        lost=lost_frames,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),
        script=Markup((folder / "report.js").read_text(encoding="utf-8")),
    )
    store.write_text(run.folder / REPORT_HTML, page)
    return run.folder / REPORT_HTML


def _title(runs: Sequence[ReportedRun]) -> str:
    subject = runs[0].title if len(runs) == 1 else f"{len(runs)} runs"
    results = runs[0].results
    return f"{subject} on {results.benchmark} v{results.benchmark_version}"


def _dataset(run: ReportedRun) -> str:
    """Return the title of the run's benchmark.

    If the workdir lacks the version of the benchmark that the run followed, return the name of the
    benchmark instead.
    """
    name, workdir = run.results.benchmark, dataset_folder(run.folder).parent
    if name not in protocol_files.names(workdir):
        return name
    benchmark = protocol_files.find(name, workdir)
    return benchmark.title if benchmark.version == run.results.benchmark_version else name
