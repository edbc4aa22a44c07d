"""Writes report.md, the report of a run in Markdown, from the run's files."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from fauds import resources
from fauds.evaluation import results as results_file
from fauds.evaluation.results import Results
from fauds.report.described_faces import DescribedFace, gallery
from fauds.report.formatting import percent, percent_range, sentence_case
from fauds.report.map_metrics import NOTE, map_table
from fauds.report.published import (
    lacking,
    like_for_like_note,
    published_rows,
    rows_beside_published,
)
from fauds.report.tables import confusion_table, fold_table
from fauds.tables import store
from fauds.tables.paths import REPORT_MD

_FACES = 6


def write_report(folder: Path) -> Path:
    """Write report.md into the folder of a finished run; return the path of the file.

    Raises:
        DataError: the run has no results.
    """
    results, faces = results_file.read(folder), _some(gallery(folder))
    source = resources.path("templates", "report", "report.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    text = environment.from_string(source).render(
        r=results,
        percent=percent,
        interval=_interval(results),
        target=results.protocol.predicts,
        fold_tables=_fold_tables(results),
        confusion=_confusion(results),
        maps=_maps(results),
        map_note=NOTE,
        words=_word_table(results),
        undefined=results.undefined,
        agreement=results.value("local_text_agreement", "mean_of_folds"),
        dropped=", ".join(
            f"{subject} {count}" for subject, count in results.frames_without_image.items()
        ),
        reasons=_reasons(results),
        published=_published(results),
        unlike=like_for_like_note(results),
        faces=faces,
        described=any(face.face_text or any(au.text for au in face.aus) for face in faces),
        names=_names,
        state=_state(results.protocol.predicts.states),
    )
    store.write_text(folder / REPORT_MD, text)
    return folder / REPORT_MD


def _some(faces: list[DescribedFace]) -> list[DescribedFace]:
    """Return at most six evenly spaced faces; unlike report.md, report.html shows all faces."""
    step = max(1, -(-len(faces) // _FACES))
    return faces[::step]


def _interval(results: Results) -> str:
    """Return the interval of the run's main result as text; "" if it has no interval."""
    row = results.row(results.protocol.predicts.main_metric, "mean_of_folds")
    interval = percent_range(row.low, row.high) if row else ""
    return interval and f", 95 % interval over {results.units} {interval}"


def _reasons(results: Results) -> str:
    """Return why frames have no crop, with counts, as text: ``no landmarks 271, unreadable 2``."""
    counts: Counter[str] = Counter()
    for by_status in (results.provenance.get("lost") or {}).values():
        counts.update(by_status)
    return ", ".join(f"{status} {count:,}" for status, count in counts.most_common())


def _state(states: tuple[str, str]) -> Callable[[bool | None], str]:
    return lambda value: "not coded" if value is None else states[value]


def _names(face: DescribedFace, which: str) -> str:
    return ", ".join(au.name for au in face.aus if getattr(au, which)) or "none"


def _markdown(frame: pd.DataFrame) -> str:
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    rows = [map(str, row) for row in frame.itertuples()]
    rule = ["---"] + ["---:"] * len(frame.columns)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _fold_tables(results: Results) -> dict[str, str]:
    """Return, by title of the metric, a Markdown table of each of the run's metrics by fold.

    The table of the main metric also has columns for baselines: predictions that ignore the image.
    """
    target = results.protocol.predicts
    tables = {}
    for place, metric in enumerate(target.statistics):
        title = target.titles[metric]
        baselines = target.baselines if place == 0 else {}
        tables[sentence_case(title)] = fold_table(results, metric, baselines).markdown()
    return tables


def _confusion(results: Results) -> str:
    """Return the confusion matrix of a run's classes as Markdown; "" for action units."""
    table = confusion_table(results)
    return "" if table is None else table.markdown()


def _maps(results: Results) -> str:
    """Return the agreement of the model's maps with AU maps as Markdown; "" without such maps."""
    table = map_table(results)
    return "" if table is None else table.markdown()


def _word_table(results: Results) -> str:
    rows = {}
    for scope in ("local", "global"):
        names = (f"{scope}_word_top5", f"{scope}_word_top5_no_image")
        if results.value(names[0], "mean_of_folds") is not None:
            rows[scope] = [percent(results.value(name, "mean_of_folds")) for name in names]
    if not rows:
        return ""
    columns = ["top-5 %", "no image %"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return _markdown(frame.rename_axis("decoder"))


def _published(results: Results) -> str:
    """Return a Markdown table of published values of the main metric and this run's.

    The text is "" if they are not comparable.
    """
    table = published_rows(results)
    if table is None:
        return ""
    off = table.pop("off")
    aus = [*results.protocol.aus, "Avg"]
    table[aus] = table[aus].map(lambda value: "-" if math.isnan(value) else f"{value:.1f}")
    table["flag"] = off.map({True: "average does not fit", False: ""})
    main = results.protocol.predicts.main_metric
    name = f"this run ({results.model} {results.preset})"
    for row in rows_beside_published(results, main):
        figures = [_mean(results, main, au, row.selection) for au in (*aus[:-1], None)]
        named = f"**{name}**" if row.words is None else f"{name}, {row.words}"
        keys = [named, "", "", row.epoch, row.threshold]
        table.loc[len(table)] = [*keys, *figures, lacking(results)]
    heads = {"epoch_selection": "epoch", "threshold_selection": "threshold"}
    return _markdown(table.rename(columns=heads).set_index("method"))


def _mean(results: Results, metric: str, au: str | None, selection: str | None) -> str:
    row = results.row(metric, "mean_of_folds", au, selection=selection)
    return percent(None if row is None else row.value)
