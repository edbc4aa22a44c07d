"""``fauds score`` as a user runs it: external predictions, intact and tampered with."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds.evaluation import results as results_file
from fauds.protocols import benchmark as protocols
from fauds.tables import store
from tests.helpers import Cli, small

pytestmark = pytest.mark.usefixtures("quick_tsne")

BP4D = [
    "AU01",
    "AU02",
    "AU04",
    "AU06",
    "AU07",
    "AU10",
    "AU12",
    "AU14",
    "AU15",
    "AU17",
    "AU23",
    "AU24",
]
DISFA = ["AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU25", "AU26"]
KEYS = ["subject", "task", "frame"]


WORD_METRICS = ("word", "text", "bleu", "rouge", "unparsed", "decision", "image_gain")


@pytest.fixture(scope="module")
def work(six_root, disfa_root, tmp_path_factory):
    """A workdir with six subjects of BP4D in two folds, and three of DISFA in three."""
    folder = tmp_path_factory.mktemp("score") / "work"
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        for dataset, root, folds in (("bp4d", six_root, 2), ("disfa", disfa_root, 3)):
            words = ("--dataset", dataset, "--workdir", folder, "--root", root)
            cli.quietly("split", *words, "--method", "random", "--folds", folds)
    return folder


@pytest.fixture
def score(cli, work, tmp_path):
    """Score a table of BP4D; return what the command did."""

    def run(table, *words, name="mine.csv", dataset="bp4d"):
        path = tmp_path / name
        if isinstance(table, pd.DataFrame):
            table.to_csv(path, index=False)
        return cli("score", path, "--dataset", dataset, "--workdir", work, *words)

    return run


def frames_of(work, dataset="bp4d"):
    return pq.read_table(work / dataset / "frames.parquet").to_pandas()


def predicted(work, dataset="bp4d", aus=BP4D, seed=0):
    """Return a table of random probabilities for all frames of a dataset, shuffled."""
    rng = np.random.default_rng(seed)
    table = frames_of(work, dataset)[KEYS].copy()
    table[aus] = rng.random((len(table), len(aus))).round(3)
    return table.sample(frac=1, random_state=seed)


def newest(work, dataset="bp4d"):
    (folder,) = sorted((work / dataset / "runs").glob("score-*"), key=lambda p: p.stat().st_mtime)[
        -1:
    ]
    return folder, results_file.read(folder)


def plain_f1(work, table, au, dataset="bp4d"):
    """Return the mean over folds of an AU's F1, leaving out folds without an active frame."""
    folds = pq.read_table(work / dataset / "folds.parquet").to_pandas()
    joined = frames_of(work, dataset).merge(table, on=KEYS, suffixes=("", "_p"))
    joined = joined.merge(folds, on="subject")
    values = []
    for _, part in joined.groupby("fold"):
        part = part[part[au].notna()]
        truth, decided = part[au] == 1, part[f"{au}_p"] >= 0.5
        if truth.any():
            values.append(2 * (truth & decided).sum() / (truth.sum() + decided.sum()))
    return np.mean(values)


def test_a_table_in_any_order_and_spelling_gives_the_figures_of_plain_counting(score, work):
    table = predicted(work)
    spelt = table.rename(columns={"AU01": "au1", "AU02": " AU2", "AU04": "AU_04", "AU06": "6"})
    spelt["comment"] = "x"
    outcome = score(spelt, "--name", "my-net")
    assert outcome.code == 0, outcome.err
    assert "read as a table with subject, task and frame: 1 file" in outcome.out
    assert "columns not read, as they are unknown: comment" in outcome.out
    assert "my-net elsewhere on bp4d" in outcome.out
    folder, results = newest(work)
    for au in BP4D:
        assert results.value("f1", "mean_of_folds", au) == pytest.approx(plain_f1(work, table, au))
    assert (results.model, results.preset, results.protocol.selection) == (
        "my-net",
        "elsewhere",
        "elsewhere",
    )
    assert results.frames_scored == len(table)
    assert results.row("f1", "mean_of_folds").low is not None
    assert {path.name for path in folder.iterdir()} >= {
        "settings.yaml",
        "folds.parquet",
        "fold1",
        "fold2",
        "results.json",
        "report.md",
    }
    stored = store.read_table(folder / "fold2" / "predictions.parquet").to_pandas()
    back = stored.merge(table, on=KEYS, suffixes=("", "_given"))
    assert len(back) == len(stored)
    assert np.allclose(back["AU12"], back["AU12_given"])


def test_a_run_identifies_its_predictions_by_their_content(score, work, tmp_path):
    import hashlib

    import yaml

    assert score(predicted(work, seed=1)).code == 0
    folder, results = newest(work)
    saved = yaml.safe_load((folder / "settings.yaml").read_text())
    digest = hashlib.sha256((tmp_path / "mine.csv").read_bytes()).hexdigest()
    assert saved["settings"]["files"] == {"mine.csv": digest}
    assert saved["model"] == results.model == "mine"
    assert str(tmp_path / "mine.csv") in results.command


@pytest.mark.slow
def test_a_runs_own_predictions_give_its_own_figures(cli, work, six_root, tmp_path):
    shutil.copytree(
        work / "bp4d", tmp_path / "work" / "bp4d", ignore=shutil.ignore_patterns("runs")
    )
    work = tmp_path / "work"
    common = ("--dataset", "bp4d", "--workdir", work)
    changes = ("training.watch_test=true", "training.validation_subjects=1")
    words = small(*changes)
    cli.ok("bench", "vlfau", *common, "--faces", six_root / "2D+3D", *words)
    (run,) = (work / "bp4d" / "runs").iterdir()
    ours = results_file.read(run)
    cli.ok("score", run, *common, "--name", "again")
    _, theirs = newest(work)
    compared = 0
    for row in ours.metrics:
        if row.selection not in ("last", "none"):
            continue
        again = theirs.row(row.metric, row.scope, row.au, row.fold, group=row.group)
        if again is None:
            # What words and texts need is not in predictions alone.
            assert any(word in row.metric for word in WORD_METRICS)
            continue
        assert (again.value, again.low, again.high, again.n) == (
            row.value,
            row.low,
            row.high,
            row.n,
        )
        compared += 1
    assert compared > 500
    assert theirs.subject_counts == ours.subject_counts
    assert theirs.frames_fingerprint == ours.frames_fingerprint
    assert theirs.summary["f1"] == ours.summary["f1"]
    # And beside them stands what choosing otherwise would have claimed.
    names = [
        "validation",
        "best_test_epoch",
        "best_test_threshold",
        "best_test_epoch_and_threshold",
    ]
    assert [line.selection for line in ours.optimism] == names
    claimed = {line.selection: line.f1 for line in ours.optimism}
    assert (
        claimed["best_test_epoch_and_threshold"] >= claimed["best_test_epoch"] >= ours.summary["f1"]
    )
    assert set(ours.chosen) == {1, 2}
    assert 0.01 <= ours.chosen[1]["best_test_threshold"]["threshold"] <= 0.99


def parquet(folder, table, version=None, benchmark="bp4d"):
    path = folder / "mine.parquet"
    plain = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    if version is None:
        pq.write_table(plain, path)
    else:
        made = {"benchmark": benchmark, "benchmark_version": version}
        store.write_table(path, plain, {"inputs": "", "settings": made})
    return path


def twice(table):
    return pd.concat([table, table.iloc[[5]]])


def unknown_subject(table):
    return table.assign(subject=table["subject"].astype(str).replace("M002", "M999"))


def unknown_frames(table):
    return pd.concat([table, table.iloc[:3].assign(frame=lambda t: t["frame"] + 100_000)])


def of_one_fold(table):
    return table[table["subject"] == "M002"]


def changed(**values):
    def change(table):
        table = table.copy()
        for name, value in values.items():
            table.iloc[7, table.columns.get_loc(name)] = value
        return table

    return change


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (twice, "Frames are predicted more than once (1): "),
        (unknown_subject, "Predicted frames are not part of the protocol (40): M999/T"),
        (unknown_frames, "Predicted frames are not part of the protocol (3): "),
        (of_one_fold, "There are no predictions for fold"),
        (lambda table: table.drop(columns=["AU24", "AU06"]), "no predictions of AU06, AU24"),
        (changed(AU12=1.01), "is 1.01, not a probability from 0 to 1"),
        (changed(AU12=-0.2), "is -0.2, not a probability from 0 to 1"),
        (changed(AU12=np.nan), "1 of the protocol's 240 frames have no prediction: "),
        (lambda table: table.iloc[10:], "10 of the protocol's 240 frames have no prediction: "),
        (lambda table: table.assign(benchmark_version=1), "and cannot be scored by bp4d"),
        (lambda table: table.assign(fold=1), "was trained on"),
        (lambda table: table.assign(fold=np.nan), "The column fold is empty, but"),
        (
            lambda table: table.assign(benchmark_version=np.nan),
            "The column benchmark_version is empty",
        ),
        (lambda table: table.assign(frame=1e300), "frame is 1e+300, but"),
        (changed(AU12=63.0), "write probabilities from 0 to 1 into"),
        (lambda table: table.assign(AU1=0.5), "both hold AU01"),
        (lambda table: table.drop(columns="task"), "The column task is missing"),
        (lambda table: table.drop(columns="frame"), "prediction file is not recognised"),
        (lambda table: table.assign(frame=table["frame"] + 0.5), "must hold whole numbers"),
        (lambda table: table.assign(AU01="high"), "Column AU01 holds texts, but no number."),
    ],
)
def test_tampered_predictions_are_refused_with_the_reason_and_the_place(
    score, work, tamper, message
):
    before = set((work / "bp4d" / "runs").glob("*"))
    outcome = score(tamper(predicted(work)))
    assert outcome.code == 1
    assert message in outcome.err
    assert "mine.csv" in outcome.err
    assert "Traceback" not in outcome.err
    assert set((work / "bp4d" / "runs").glob("*")) == before


def test_predictions_of_another_version_are_refused_by_the_files_own_word(cli, work, tmp_path):
    common = ("--dataset", "bp4d", "--workdir", work)
    old = cli("score", parquet(tmp_path, predicted(work), version=1), *common)
    assert old.code == 1
    assert "The predictions are for bp4d, version 1, and cannot be scored by bp4d" in old.err
    other = cli("score", parquet(tmp_path, predicted(work), 1, "disfa"), *common)
    assert "The predictions are for disfa, version 1" in other.err
    assert cli("score", parquet(tmp_path, predicted(work)), *common).code == 0
    now = protocols.benchmark("bp4d").version
    both = parquet(tmp_path, predicted(work).assign(benchmark_version=now + 1), version=now)
    assert f"The predictions are for bp4d, version {now + 1}" in cli("score", both, *common).err


@pytest.mark.parametrize("word", [b"not json", b"[]", b'{"settings": 5}', b'{"settings": {}}'])
def test_files_with_metadata_of_another_program_are_read(cli, work, tmp_path, word):
    plain = pa.Table.from_pandas(predicted(work), preserve_index=False)
    pq.write_table(plain.replace_schema_metadata({b"fauds": word}), tmp_path / "mine.parquet")
    outcome = cli("score", tmp_path / "mine.parquet", "--dataset", "bp4d", "--workdir", work)
    assert outcome.code == 0, outcome.err


def test_a_fold_that_one_file_of_several_tells_is_not_passed_over(cli, work, tmp_path):
    table, folder = predicted(work), tmp_path / "parts"
    folder.mkdir()
    table[:100].assign(fold=9).to_csv(folder / "a.csv", index=False)
    table[100:].to_csv(folder / "b.csv", index=False)
    outcome = cli("score", folder, "--dataset", "bp4d", "--workdir", work)
    assert outcome.code == 1
    assert "Some of the files have a column fold, and some have none" in outcome.err


def test_a_mean_of_folds_is_of_all_folds_though_one_has_decisions_alone(score, work):
    folds = pq.read_table(work / "bp4d" / "folds.parquet").to_pandas()
    first = set(folds[folds["fold"] == 1]["subject"])
    table = predicted(work)
    decided = table["subject"].isin(first)
    table.loc[decided, BP4D] = (table.loc[decided, BP4D] >= 0.5).astype(float)
    assert score(table).code == 0
    _, results = newest(work)
    for name in ("auc", "average_precision", "calibration_error"):
        of_folds = [results.value(name, "fold", fold=fold) for fold in (1, 2)]
        assert results.value(name, "mean_of_folds") == pytest.approx(np.mean(of_folds))
        assert results.value(name, "pooled") is None  # the scores of several models


def test_folds_in_which_a_subject_is_in_train_and_test_are_refused(cli, work, tmp_path):
    copied = tmp_path / "work"
    shutil.copytree(work / "bp4d", copied / "bp4d")
    path = copied / "bp4d" / "folds.parquet"
    folds, meta = store.read_table(path), store.read_meta(path)
    first = folds.slice(0, 1).to_pylist()[0]
    other = pa.Table.from_pylist([{**first, "fold": 3 - first["fold"]}], folds.schema)
    both = pa.concat_tables([folds, other])
    store.write_table(path, both, {k: v for k, v in meta.items() if k not in ("schema", "fauds")})
    table = tmp_path / "mine.csv"
    predicted(work).to_csv(table, index=False)
    outcome = cli("score", table, "--dataset", "bp4d", "--workdir", copied)
    assert outcome.code == 1
    assert "A subject is in more than one fold" in outcome.err
    assert "folds.parquet" in outcome.err


def test_predictions_carry_the_fold_that_made_them(score, work):
    folds = pq.read_table(work / "bp4d" / "folds.parquet").to_pandas().set_index("subject")["fold"]
    table = predicted(work)
    assert score(table.assign(fold=table["subject"].map(folds))).code == 0


def test_frames_without_a_prediction_are_dropped_or_inactive_on_request(score, work):
    table = predicted(work).iloc[10:]
    outcome = score(table, "--missing", "drop")
    assert outcome.code == 0, outcome.err
    assert "10 frames without a prediction are not scored" in outcome.out
    _, results = newest(work)
    assert results.frames_scored == len(table) == results.frames_offered - 10
    assert results.missing.rule == "drop"
    assert sum(results.missing.frames.values()) == 10
    assert results.value("f1", "mean_of_folds", "AU12") == pytest.approx(
        plain_f1(work, table, "AU12")
    )
    assert score(table, "--missing", "inactive").code == 0
    _, results = newest(work)
    assert results.frames_scored == results.frames_offered
    rest = predicted(work).iloc[:10].copy()
    rest[BP4D] = 0.0
    filled = pd.concat([table, rest])
    assert results.value("f1", "mean_of_folds", "AU12") == pytest.approx(
        plain_f1(work, filled, "AU12")
    )


def openface(work, folder):
    """Write OpenFace's files for DISFA, spaces and all; return the decisions as a table."""
    rng = np.random.default_rng(2)
    frames = frames_of(work, "disfa")
    folder.mkdir()
    tables = []
    for subject, part in frames.groupby("subject", observed=True):
        # A video has frames after the last coded one too.
        numbers = [*part["frame"], part["frame"].max() + 1, part["frame"].max() + 2]
        table = pd.DataFrame({"frame": numbers, " face_id": 0, " timestamp": 0.0})
        table[" confidence"], table[" success"], table[" gaze_0_x"] = 0.98, 1, 0.1
        for au in DISFA:
            table[f" {au}_r"] = rng.uniform(0, 5, len(table)).round(2)
        for au in (*DISFA, "AU45"):
            table[f" {au}_c"] = rng.integers(0, 2, len(table)).astype(float)
        table.to_csv(folder / f"LeftVideo{subject}_comp.csv", index=False)
        tables.append(table.rename(columns=str.strip).assign(subject=subject, task=""))
    return pd.concat(tables)


def test_openfaces_files_are_read_by_the_names_of_their_sequences(cli, work, tmp_path):
    table = openface(work, tmp_path / "processed")
    common = ("--dataset", "disfa", "--workdir", work)
    outcome = cli("score", tmp_path / "processed", *common, "--name", "OpenFace")
    assert outcome.code == 0, outcome.err
    assert "read as OpenFace's output: 3 files" in outcome.out
    assert "columns not read, as they are unknown: gaze_0_x" in outcome.out
    assert "does not score these AUs: AU45_c" in outcome.out
    assert "left out: 6 predicted frames that are not coded" in outcome.out
    folder, results = newest(work, "disfa")
    decided = table.rename(columns={f"{au}_c": au for au in DISFA})
    expected = plain_f1(work, decided[[*KEYS, *DISFA]], "AU12", "disfa")
    assert results.value("f1", "mean_of_folds", "AU12") == pytest.approx(expected)
    assert results.value("auc", "mean_of_folds") is None
    joined = frames_of(work, "disfa").merge(table[[*KEYS, "AU25_r"]], on=KEYS)
    error = (joined["AU25_r"] - joined["AU25_intensity"]).abs().mean()
    assert results.value("intensity_mae", "pooled", "AU25") == pytest.approx(error)
    columns = store.column_names(folder / "fold1" / "predictions.parquet")
    assert "AU25_intensity" in columns


def test_frames_without_a_face_are_not_predicted(cli, work, tmp_path):
    openface(work, tmp_path / "processed")
    path = tmp_path / "processed" / "LeftVideoSN003_comp.csv"
    table = pd.read_csv(path)
    table.loc[:3, " success"] = 0
    table.to_csv(path, index=False)
    common = ("--dataset", "disfa", "--workdir", work)
    outcome = cli("score", path.parent, *common)
    assert outcome.code == 1
    assert "4 frames in which no face was found count as not predicted" in outcome.out
    assert "4 of the protocol's 180 frames have no prediction: SN003 4" in outcome.err
    path.rename(path.with_name("somebody.csv"))
    outcome = cli("score", path.parent, *common)
    assert "'somebody' contains no sequence (subject and task) of the dataset" in outcome.err


def test_openfaces_frames_counted_from_0_are_refused(cli, work, tmp_path):
    openface(work, tmp_path / "processed")
    path = tmp_path / "processed" / "LeftVideoSN003_comp.csv"
    table = pd.read_csv(path)
    table.assign(frame=range(len(table))).to_csv(path, index=False)
    outcome = cli("score", path.parent, "--dataset", "disfa", "--workdir", work, "--missing=drop")
    assert outcome.code == 1
    assert "The file has a frame 0, but OpenFace counts frames from 1" in outcome.err
    assert path.name in outcome.err


def test_intensities_alone_are_not_enough(cli, work, tmp_path):
    openface(work, tmp_path / "processed")
    for path in (tmp_path / "processed").iterdir():
        table = pd.read_csv(path)
        table[[name for name in table if not name.endswith("_c")]].to_csv(path, index=False)
    outcome = cli("score", tmp_path / "processed", "--dataset", "disfa", "--workdir", work)
    assert outcome.code == 1
    assert "there are only intensities" in outcome.err


def pyfeat(work, dataset, aus, name):
    """Return py-feat's table: images named by number, and a counter of its own."""
    table = predicted(work, dataset, aus).sort_values(KEYS)
    table["input"] = [name(*key) for key in table[KEYS].itertuples(index=False)]
    table["frame"] = range(len(table))
    return table.drop(columns=["subject", "task"]).assign(FaceScore=0.9)


def test_pyfeats_images_are_matched_to_frames_by_their_names(score, work):
    table = pyfeat(work, "bp4d", BP4D, lambda s, t, frame: f"/data/bp4d/{s}/{t}/{frame:04}.jpg")
    outcome = score(table)
    assert outcome.code == 0, outcome.err
    assert "read as py-feat's output: 1 file" in outcome.out
    _, results = newest(work)
    expected = plain_f1(work, predicted(work), "AU12")
    assert results.value("f1", "mean_of_folds", "AU12") == pytest.approx(expected)
    table.iloc[4, [table.columns.get_loc(au) for au in BP4D]] = np.nan
    outcome = score(table)
    assert "1 frames in which no face was found" in outcome.out
    assert "1 of the protocol's 240 frames have no prediction: F001 1" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1])
def test_pyfeats_disfa_images_and_videos_can_be_numbered_from_0_or_1(score, work, first):
    expected = plain_f1(work, predicted(work, "disfa", DISFA), "AU12", "disfa")
    predictions = predicted(work, "disfa", DISFA)
    tables = []
    for subject, part in predictions.groupby("subject", observed=True):
        # Of the whole video, most of whose frames nobody coded here.
        whole = pd.DataFrame({"number": range(1, part["frame"].max() + 1), "subject": subject})
        tables.append(whole.merge(part, left_on="number", right_on="frame", how="left"))
    whole = pd.concat(tables).fillna(dict.fromkeys(DISFA, 0.5))
    names = [
        f"{s}/{n - 1 + first}.png" for s, n in zip(whole["subject_x"], whole["number"], strict=True)
    ]
    images = whole[DISFA].assign(frame=range(len(whole)), input=names)
    # The counter of a video begins at 0 for its first frame.
    names = [f"LeftVideo{subject}_comp.avi" for subject in whole["subject_x"]]
    videos = whole[DISFA].assign(frame=whole["number"] - 1, input=names)
    for table in (images, videos):
        outcome = score(table, dataset="disfa")
        assert outcome.code == 0, outcome.err
        _, results = newest(work, "disfa")
        assert results.value("f1", "mean_of_folds", "AU12") == pytest.approx(expected)


def test_an_ambiguous_numbering_of_images_is_an_error(score, work):
    # Without the first and the last images, either numbering would fit.
    table = pyfeat(work, "disfa", DISFA, lambda s, t, frame: f"{s}/{frame + 3}.png")
    outcome = score(table[20:-20], dataset="disfa")
    assert outcome.code == 1
    assert "build-captions --image-base 0 or 1); or give the predictions as a table" in outcome.err
    assert "mine.csv" in outcome.err


def test_usage(cli, work, tmp_path):
    common = ("--dataset", "bp4d", "--workdir", work)
    (tmp_path / "empty").mkdir()
    outcome = cli("score", tmp_path / "empty", *common)
    assert outcome.code == 2
    assert "no CSV or Parquet file" in outcome.err
    predicted(work).to_csv(tmp_path / "mine.csv", index=False)
    outcome = cli("score", tmp_path / "mine.csv", *common, "--name", "../up")
    assert outcome.code == 2
    assert "'../up' cannot be the name of a model" in outcome.err
    assert cli("score", tmp_path / "absent.csv", *common).code == 2


def test_the_results_are_json_that_anyone_can_read(score, work):
    assert score(predicted(work, seed=3)).code == 0
    folder, _ = newest(work)
    plain = json.loads((folder / "results.json").read_text())
    assert plain["missing"] == {"rule": "refuse", "frames": {}}
    assert {row["selection"] for row in plain["metrics"]} == {"elsewhere", "none"}
    assert set(plain["subject_counts"]["folds"]) == {"1", "2"}
