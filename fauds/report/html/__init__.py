"""report.html: one page that holds all it shows, and needs no network."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fauds import resources
from fauds.protocols import user_files as protocol_files
from fauds.report.html.cards import cards
from fauds.report.html.runs import Run, read_runs
from fauds.report.html.sections import lost_frames, sections
from fauds.report.html.summary import sentences
from fauds.tables import store
from fauds.tables.paths import REPORT_HTML, dataset_folder


def write_html(folders: Sequence[Path], *, with_faces: bool = False) -> Path:
    """Write report.html of finished runs into the first one's folder; return its path.

    Args:
        folders: of runs of one benchmark; what is of one run alone is of the first.
        with_faces: show faces of real people, whose datasets' licences forbid to pass them on.

    Raises:
        UsageError: no run, or runs of several benchmarks.
        DataError: a run has no results, or a picture cannot be read.
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
        sections=sections(runs),
        faces=faces,
        no_pictures=reason,
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


def _title(runs: Sequence[Run]) -> str:
    what = runs[0].title if len(runs) == 1 else f"{len(runs)} runs"
    results = runs[0].results
    return f"{what} on {results.benchmark} v{results.benchmark_version}"


def _dataset(run: Run) -> str:
    """Return the benchmark in words; its name where this version's are not at hand."""
    name, workdir = run.results.benchmark, dataset_folder(run.folder).parent
    if name not in protocol_files.names(workdir):
        return name
    found = protocol_files.find(name, workdir)
    return found.title if found.version == run.results.benchmark_version else name
