"""``fauds bench au-cues`` on small synthetic releases: training, measures, control, comparison."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fauds.evaluation.finished import load
from fauds.facs import expression_aus
from fauds.metrics.frame_means import MEAN
from fauds.metrics.resampling import with_overall
from fauds.tables import store

SMALL = (
    "model.image_size=64",
    "training.epochs=1",
    "training.batch_size=16",
    "training.device=cpu",
)
METRICS = [f"{kind}_{name}" for kind in ("att", "cam") for name in ("cos", "inside", "pointing")]


def sets(*changes: str) -> list[str]:
    return [word for change in (*SMALL, *changes) for word in ("--set", change)]


def run_of(work: Path, dataset: str) -> list[Path]:
    return sorted((work / dataset / "runs").iterdir())


def plain_means(run: Path, frames: pd.DataFrame, metric: str) -> dict[str | None, float]:
    """Return the mean of a metric over the images of each class, and over all images, by pandas."""
    predicted = store.read_table(run / "fold1/predictions.parquet").to_pandas()
    names = [c.removesuffix(f"_{metric}") for c in predicted if c.endswith(f"_{metric}")]
    table = predicted.merge(frames[["key", "expression"]], on="key")
    means: dict[str | None, float] = {}
    values = []
    for place, name in enumerate(names):
        column = table[f"{name}_{metric}"]
        own = table.expression == place
        assert column[~own].isna().all()
        has_aus = name in expression_aus()
        assert column[own].notna().all() if has_aus else column[own].isna().all()
        means[name] = column.mean()
        values += column.dropna().tolist()
    means[None] = float(np.mean(values))
    return means


@pytest.mark.slow
def test_a_run_and_its_control_are_measured_and_compared_by_person(cli, portrait_roots, work):
    cli.ok("prepare", "--dataset", "rafdb", "--root", portrait_roots["rafdb"], "--workers", 1)
    out = cli.ok("bench", "au-cues", "--dataset", "rafdb", "--preset", "tiny", "--control", *sets())
    run, control = run_of(work, "rafdb")
    check_measures(work, run)
    check_comparison(run, control, out)


def check_measures(work: Path, run: Path) -> None:
    """Check that measures are means over images, and have intervals."""
    frames = store.read_table(work / "rafdb/frames.parquet").to_pandas()
    results = json.loads((run / "results.json").read_text())
    for metric in METRICS:
        plain = plain_means(run, frames, metric)
        rows = {
            row["au"]: row
            for row in results["metrics"]
            if row["metric"] == metric and row["scope"] == "mean_of_folds"
        }
        assert rows.keys() == plain.keys()
        for name, value in plain.items():
            assert (rows[name]["value"] is None) == np.isnan(value)
            if not np.isnan(value):
                assert rows[name]["value"] == pytest.approx(value, abs=1e-6)
        assert rows[None]["n"] == sum(row["n"] for name, row in rows.items() if name)
        assert results["summary"][metric] == rows[None]["value"]
    cosine = next(
        row
        for row in results["metrics"]
        if (row["metric"], row["scope"], row["au"]) == ("att_cos", "mean_of_folds", None)
    )
    assert cosine["low"] < cosine["value"] < cosine["high"]


def check_comparison(run: Path, control: Path, out: str) -> None:
    """Check that a run and its control are compared, with the values of their images."""
    saved = (control / "settings.yaml").read_text()
    assert "model.cue_weight=0" in saved and "cue_weight: 0.0" in saved
    assert "differs: model.cue_weight: 9.0 (a), 0.0 (b)" in out
    a, b = load(run), load(control)
    for title, metric in (("ATT-COS", "att_cos"), ("CAM-COS", "cam_cos")):
        values = []
        for side in (a, b):
            total = with_overall(
                MEAN,
                type(side.sums[metric])(*(part.sum(axis=0) for part in side.sums[metric].parts)),
            )[-1]
            values.append(float(total))
        printed = re.search(rf"{title} +(-?[\d.]+) +(-?[\d.]+) +([+-][\d.]+)", out)
        assert [float(x) for x in printed.groups()] == pytest.approx(
            [*values, values[0] - values[1]], abs=0.0051
        )
    page = (run / "report.html").read_text()
    assert "Where the model looks" in page and "class map" in page
    assert "ATT-COS" in (run / "report.md").read_text()


@pytest.mark.slow
def test_all_that_a_run_of_affectnet_needs_is_found_in_its_own_files(cli, portrait_roots, work):
    where = ("--dataset", "affectnet", "--root", portrait_roots["affectnet"])
    out = cli.ok(
        "bench", "au-cues", *where, "--preset", "tiny", *sets("model.explanation=layercam")
    )
    assert "agreement with AU maps: ATT-COS" in out
    assert "The control" not in out


def test_a_control_is_refused_for_a_model_that_has_none(cli, work):
    outcome = cli("bench", "linear", "--control")
    assert outcome.code == 2
    assert "linear has no control" in outcome.err and "fauds compare RUN RUN" in outcome.err
