"""The sections of report.html: tables, figures and texts, or a sentence on why they are missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fauds.evaluation.finished import read_scored
from fauds.report import charts as figures
from fauds.report.described_faces import gallery
from fauds.report.features import draw_features, find_features
from fauds.report.formatting import sentence_case
from fauds.report.html import breakdowns as figures_by
from fauds.report.html import compared
from fauds.report.html.face_images import shown_images
from fauds.report.html.runs import ReportedRun, comparable
from fauds.report.map_figure import MappedModel, draw_maps
from fauds.report.map_metrics import NOTE, map_table, shown
from fauds.report.published import like_for_like_note, published_rows
from fauds.report.svg import Drawing
from fauds.report.tables import Table, confusion_table


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: the HTML id of the section, for links.
        title: the heading.
        words: the paragraphs.
        drawings: the charts.
        tables: the tables.
        folded: tables that stay closed until the reader of the page opens them.
    """

    name: str
    title: str
    words: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = field(default=())


def sections(runs: Sequence[ReportedRun], with_faces: bool = False) -> list[Section]:
    """Return the sections of the page, except its summary, faces and provenance.

    Sections that do not apply to the runs are left out. A section whose data are missing has a
    sentence that says why.

    Args:
        runs: the runs of the page. Sections about a single run are about the first run.
        with_faces: show faces of real people too.
    """
    run = runs[0]
    candidates = [
        _several(runs),
        _by_au(runs),
        _by_fold(run),
        _balance(runs),
        _ablation(runs),
        _published(runs),
        _selection(run),
        _maps(runs, with_faces),
        _groups(run),
        _texts(run),
        _reliability(run),
        _training(run),
        _features(run),
    ]
    return [section for section in candidates if section is not None]


def _present(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table is not None]


def _several(runs: Sequence[ReportedRun]) -> Section | None:
    table = compared.overview(runs)
    if table is None:
        return None
    words = f"Parts of the page that are of one run alone are of run {runs[0].letter}."
    return Section("runs", "The runs", [words], tables=[table])


def _by_au(runs: Sequence[ReportedRun]) -> Section:
    aus, target = runs[0].results.protocol.aus, runs[0].target
    rows = {
        f"run {run.letter}" if len(runs) > 1 else "this run": [
            run.row(run.main_metric, au=au) for au in aus
        ]
        for run in runs
    }
    return Section(
        "action-units",
        sentence_case(target.plural),
        target.remarks,
        [figures.draw_by_name(target, rows)],
        _present(
            compared.by_au(runs), figures_by.au_table(runs[0]), confusion_table(runs[0].results)
        ),
    )


def _maps(runs: Sequence[ReportedRun], with_faces: bool) -> Section | None:
    """Return the section on how well the maps of the model agree with AU maps; None without."""
    table = map_table(runs[0].results)
    if table is None:
        return None
    models = [
        MappedModel(
            f"run {run.letter}" if len(runs) > 1 else "",
            {face.frame_id: face for face in gallery(run.folder)},
        )
        for run in runs
        if shown(run.results)
    ]
    images, _ = shown_images(runs[0], [*models[0].faces.values()], with_faces)
    figure = draw_maps(models, images)
    drawings = [] if figure is None else [figure]
    return Section("maps", "Where the model looks", [NOTE], drawings, tables=[table])


def _by_fold(run: ReportedRun) -> Section:
    lists = [
        f"Fold {fold} tests {len(ids)} subject{'s' if len(ids) > 1 else ''}: {', '.join(ids)}."
        if run.results.unit == "subject"
        else f"Fold {fold} tests the images of the release's own part {', '.join(ids)}. Who is on "
        "an image is not known: the same person may be in both parts, and on several images."
        for fold, ids in run.results.scored_groups.items()
    ]
    first, *others = (
        figures_by.by_fold(run, metric, sentence_case(title))
        for metric, title in ((name, run.target.titles[name]) for name in run.target.statistics)
    )
    notes = (figures_by.interval_table(run), figures_by.undefined_table(run))
    folded = [*others, *_present(figures_by.showing_table(run), *notes)]
    return Section("folds", "Folds", lists, tables=[first], folded=folded)


def _balance(runs: Sequence[ReportedRun]) -> Section:
    ours = {}
    for run in runs:
        values = [run.value(run.main_metric, au=au) for au in run.results.protocol.aus]
        defined = [value for value in values if value is not None]
        mean = run.value(run.main_metric)
        if defined and mean is not None:
            name = run.letter if len(runs) > 1 else run.title
            ours[name] = (compared.variance(defined), 100 * mean)
    theirs = published_rows(runs[0].results) if comparable(runs) else None
    if theirs is not None:
        aus = runs[0].results.protocol.aus
        # A method whose figures of single AUs are not known has no variance over them.
        theirs = theirs.dropna(subset=aus)
        theirs = theirs.assign(variance=theirs[aus].var(axis=1, ddof=0))
    words = [
        f"A model that does well on some {runs[0].target.plural} only has a high variance of "
        f"{runs[0].target.titles[runs[0].main_metric]} over them.",
        *compared.balance_words(runs),
    ]
    points = len(ours) + (0 if theirs is None else len(theirs))
    drawings = [figures.draw_balance(runs[0].target, ours, theirs)] if points > 1 and ours else []
    return Section("balance", f"Balance over {runs[0].target.plural}", words, drawings)


def _ablation(runs: Sequence[ReportedRun]) -> Section | None:
    table = compared.ablation(runs)
    return None if table is None else Section("parts", "Parts of the model", tables=[table])


def _published(runs: Sequence[ReportedRun]) -> Section | None:
    tables = _present(*(compared.published(runs, name) for name in runs[0].target.statistics))
    if not tables:
        return None
    protocol = runs[0].results.protocol
    occurrence = f"occurrence {protocol.occurrence}; " if protocol.occurrence else ""
    chosen = "epoch and their threshold" if runs[0].target.has_threshold else "epoch"
    words = [
        f"This page: {protocol.folds}, fold k tests part k; {occurrence}"
        f"frames: {protocol.frame_set}; alignment: {protocol.alignment}. Published rows have an "
        f"alignment and a frame set of their own, seldom declared. How they chose their {chosen} "
        "is that of the paper or of the authors' code; test means the best on the test part.",
        *_unlike(runs),
        "Gaps of a few points are smaller than the noise between splits (6.5 points on BP4D+, "
        "Hinduja et al., arXiv 2604.02162).",
    ]
    return Section("published", "Published figures", words, tables=tables[:1], folded=tables[1:])


def _unlike(runs: Sequence[ReportedRun]) -> list[str]:
    """Return the note that no run can be compared like for like with some published rows."""
    notes = [like_for_like_note(run.results) for run in runs]
    return notes[:1] if all(notes) else []


def _selection(run: ReportedRun) -> Section | None:
    table = figures_by.selection_table(run)
    return None if table is None else Section("selection", "Choice of the epoch", tables=[table])


def _groups(run: ReportedRun) -> Section:
    sex, subject = figures_by.sex_table(run), figures_by.subject_table(run)
    unknown = run.results.unit == "image"
    missing = [
        "Who is on an image is not known, so there are no figures by subject."
        if name == "subject" and unknown
        else f"This run has no figures by {name}."
        for name, table in (("sex", sex), ("subject", subject))
        if table is None
    ]
    return Section(
        "people", "Sex and subjects", missing, tables=_present(sex), folded=_present(subject)
    )


def _texts(run: ReportedRun) -> Section | None:
    table = figures_by.text_table(run)
    if table is None:
        reason = run.results.without.get("descriptions")
        if not reason:
            return None
        return Section("descriptions", "Descriptions", [f"Not shown: {reason}."])
    words = [
        *figures_by.contradictions(run),
        "The AU heads make the predictions that the rest of this page scores; descriptions are "
        "written apart from them. What a description asserts is read back from its words: F1 is "
        "against the labels, agreement with the AU heads.",
        "Next word: the true words before it are given. Without an image: what the closed set of "
        "descriptions gives away to anyone who has read those of the training part; only what is "
        "above that was seen in the face.",
    ]
    return Section("descriptions", "Descriptions", words, tables=[table])


def _reliability(run: ReportedRun) -> Section | None:
    if run.target.form != "multilabel":
        return None
    title = "Do probabilities mean what they say?"
    scored = read_scored(run.folder, run.results)
    if scored is None:
        words = "Not shown: the labels that this run was scored on are not beside it any more."
        return Section("reliability", title, [words])
    words = (
        "Of all frames that were given 80 %, the action unit should be active in 80 %: points on "
        "the dotted line. Each fold has its own model, so that values of folds are averaged. Faint "
        "lines: one action unit each. Line with points: the mean over action units."
    )
    drawing = figures.draw_reliability(scored.labels, scored.scores, scored.folds)
    return Section("reliability", title, [words], [drawing])


def _training(run: ReportedRun) -> Section | None:
    logs = figures.read_logs(run.folder, run.results.folds)
    if not logs:
        return None
    drawing = figures.draw_training(logs)
    return Section("training", "Training", [drawing.words], [drawing])


def _features(run: ReportedRun) -> Section:
    title = "What the features tell apart"
    path = find_features(run.folder, run.results.folds)
    if path is None:
        why = run.results.without.get("features by name", "this run kept no features")
        return Section("features", title, [f"Not shown: {why}."])
    words = (
        f"Each point is one face's feature for one {run.target.noun}, before the last layer; t-SNE "
        "puts like ones near each other. Distances between far groups mean nothing."
    )
    return Section("features", title, [words], [draw_features(path, run.target)])


def lost_frames(run: ReportedRun) -> str:
    """Return how many frames have no face image, as text: counts by subject, then by reason.

    Return "" if every frame has a face image.
    """
    results = run.results
    if not results.frames_without_image:
        return ""
    subjects = ", ".join(
        f"{name} {count:,}" for name, count in results.frames_without_image.items()
    )
    reasons: Counter[str] = Counter()
    for by_status in (results.provenance.get("lost") or {}).values():
        reasons.update(by_status)
    statuses = ", ".join(f"{status} {count:,}" for status, count in reasons.most_common())
    return f"{subjects}{f'. Of these: {statuses}' if statuses else ''}"
