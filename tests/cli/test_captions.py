"""``fauds captions`` as a user runs it, on synthetic releases."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console

from fauds.captions import describe, describe_face
from fauds.captions.caption_tables import open_captions
from fauds.captions.statistics import caption_statistics
from fauds.captions.summaries import au_sheet, find_frame
from fauds.captions.templates import STATES
from fauds.facs import AUS, facts
from fauds.report.captions import show_au, show_frame, show_statistics
from fauds.tables import store
from tests.helpers import Cli

FRAME = ("subject", "task", "sex", "frame", "frame_id", "image")


@pytest.fixture(scope="module")
def work(bp4d_root, disfa_root, tmp_path_factory):
    """A workdir: BP4D with degrees and paraphrases and a label that is not coded; DISFA plain."""
    folder = tmp_path_factory.mktemp("captions")
    raw, work = folder / "raw", folder / "work"
    shutil.copytree(bp4d_root, raw)
    label = sorted((raw / "AUCoding" / "AU_OCC").glob("F001_T*.csv"))[0]
    head, first, *rest = label.read_text().splitlines()
    cells = first.split(",")
    cells[head.split(",").index("2")] = "9"
    label.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
    styles = ["--degrees", "--variants", "2", "--seed", "3"]
    for words in (
        ["--dataset", "bp4d", "--root", raw, *styles],
        ["--dataset", "disfa", "--root", disfa_root],
    ):
        with pytest.MonkeyPatch.context() as patch:
            Cli(patch, None).quietly("build-captions", "--workdir", work, *words)
    return work


@pytest.fixture
def bp4d(work):
    return ("--dataset", "bp4d", "--workdir", work)


@pytest.fixture
def disfa(work):
    return ("--dataset", "disfa", "--workdir", work)


def tables(work, dataset):
    """Return frames and captions as pandas has them."""
    folder = work / dataset
    return pd.read_parquet(folder / "frames.parquet"), pd.read_parquet(folder / "captions.parquet")


def test_an_action_unit_needs_no_workdir(cli, tmp_path):
    for spelling in ("AU12", "12", "au_12"):
        out = cli.ok("captions", "show", spelling)
    assert out.startswith("AU12  Lip corner puller\n")
    for text in ("zygomaticus major", "mouth", facts()["AU12"]["grows"]):
        assert text in out
    for au, how in facts()["AU12"]["confused_with"].items():
        assert f"{au}: {how}" in out
    for state in STATES:
        assert describe("AU12", state) in out
    assert describe_face(["AU12"]) in out
    assert list(tmp_path.iterdir()) == []


def test_every_action_unit_every_paraphrase_other_languages_and_sexes(cli):
    for au in AUS:
        out = cli.ok("captions", "show", au, "--all")
        for state in STATES:
            for variant in range(3):
                assert describe(au, state, variant=variant) in out
    out = cli.ok("captions", "show", "AU06", "--language", "zh", "--sex", "F")
    assert describe("AU06", "E", "zh") in out and describe_face(["AU06"], "F", "zh") in out


def test_an_action_unit_of_own_templates(cli, tmp_path):
    (tmp_path / "own" / "en" / "local").mkdir(parents=True)
    file = tmp_path / "own" / "en" / "local" / "AU12.yaml"
    file.write_text("".join(f"{state}:\n- - My words for {state}.\n" for state in STATES))
    out = cli.ok("captions", "show", "AU12", "--templates", tmp_path / "own")
    assert "My words for A." in out


def test_a_name_that_is_neither_an_au_nor_a_frame_is_an_error_that_lists_both_forms(cli, bp4d):
    for name, message in (("smile", "is not an action unit"), ("AU99", "is not an action unit")):
        outcome = cli("captions", "show", name)
        assert outcome.code == 2
        assert message in outcome.err and "F001/T1/2440" in outcome.err and "AU12" in outcome.err
    for name in ("F001/", "F001/T1/x", "a/b/c/d", "/T1/3"):
        outcome = cli("captions", "show", name, *bp4d)
        assert outcome.code == 2 and "is not a frame" in outcome.err
    outcome = cli("captions", "show", "12", "--language", "klingon")
    assert outcome.code == 2 and "choose from: en, zh" in outcome.err
    outcome = cli("captions", "show", "F001/T1/1", "--language", "zh", "--all", *bp4d)
    assert outcome.code == 2 and "--language, --all cannot be used for a frame" in outcome.err


@pytest.mark.parametrize("dataset", ["bp4d", "disfa"])
def test_a_frame_is_shown_with_the_labels_and_texts_of_the_tables(cli, work, dataset):
    frames, captions = tables(work, dataset)
    image_root = store.read_meta(work / dataset / "frames.parquet")["image_root"]
    for row in (0, len(frames) // 2, len(frames) - 1):
        frame, caption = frames.iloc[row], captions.iloc[row]
        key = "/".join(str(frame[name]) for name in ("subject", "task", "frame") if frame[name])
        words = ("--dataset", dataset, "--workdir", work)
        out = cli.ok("captions", "show", key.lower(), *words)
        assert out.startswith(f"{key} of {dataset}, synthetic\n")
        aus = [name for name in captions.columns if name in AUS]
        for au in aus:
            line = next(line for line in out.splitlines() if line.startswith(f"  {au} "))
            label = {0: "inactive", 1: "active"}.get(frame[au], "not coded")
            level = frame.get(f"{au}_intensity")
            graded = label != "not coded" and not pd.isna(level) and level > 0
            label += f", {' ABCDE'[int(level)]}" if graded else ""
            text = caption[au] if isinstance(caption[au], str) else "-"
            assert line.split(maxsplit=1)[1].startswith(f"{label} ") and line.endswith(f"  {text}")
        assert (caption["face"] if isinstance(caption["face"], str) else "is not coded") in out
        if dataset == "bp4d":
            assert f"{image_root}/{frame['image']}\n" in out
            assert f"  sex    {frame['sex']}\n" in out
        else:
            assert "none was found for this frame" in out and "not known" in out


def test_without_a_name_the_first_frame_with_an_active_au_is_shown(cli, work, bp4d):
    frames, captions = tables(work, "bp4d")
    aus = [name for name in captions.columns if name in AUS]
    first = frames[captions["face"].notna() & (frames[aus] == 1).any(axis=1)].iloc[0]
    out = cli.ok("captions", "show", *bp4d)
    key = f"{first['subject']}/{first['task']}/{first['frame']}"
    assert out.startswith(f"{key} of bp4d, synthetic (the first with something active)\n")


def test_an_unknown_frame_is_an_error_that_lists_known_ones(cli, work, bp4d, disfa):
    frames, _ = tables(work, "bp4d")
    sequence = frames[(frames["subject"] == "F001") & (frames["task"] == frames["task"].iloc[0])]
    task, last = sequence["task"].iloc[0], sequence["frame"].max()
    outcome = cli("captions", "show", f"F001/{task}/{last + 5}", *bp4d)
    assert outcome.code == 2
    assert f"{len(sequence)} frames from {sequence['frame'].min()} to {last}" in outcome.err
    assert outcome.err.rstrip().endswith(f", {last}")
    outcome = cli("captions", "show", "F001/T77/1", *bp4d)
    assert f"tasks of F001: {task}" in outcome.err
    assert cli("captions", "show", "F001/1", *bp4d).code == 2
    outcome = cli("captions", "show", "F099/T1/1", *bp4d)
    assert "subjects: F001, F004, M002" in outcome.err
    outcome = cli("captions", "show", "SN001/T1/3", *disfa)
    assert "SN001 has no tasks: use SN001/3" in outcome.err


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**32 + 5, 10**20, "9" * 5000])
def test_an_impossible_frame_number_is_an_unknown_frame(cli, work, bp4d, disfa, number):
    frames, _ = tables(work, "bp4d")
    task = frames["task"].iloc[0]
    sequence = frames[(frames["subject"] == "F001") & (frames["task"] == task)]
    outcome = cli("captions", "show", f"F001/{task}/{number}", *bp4d)
    assert outcome.code == 2
    assert f"There is no frame F001/{task}/{number}.\n" in outcome.err
    assert "the nearest: " in outcome.err
    assert outcome.err.rstrip().endswith(f", {sequence['frame'].max()}")
    assert f"SN001/{number}\n" in cli("captions", "show", f"SN001/T1/{number}", *disfa).err


@pytest.mark.parametrize(
    "command", [("show",), ("show", "F001/T1/1"), ("stats",), ("export", "--format", "jsonl")]
)
def test_without_captions_the_command_that_builds_them_is_named(cli, tmp_path, command):
    work = tmp_path / "my work"
    outcome = cli("captions", *command, "--dataset", "bp4d", "--workdir", work)
    assert outcome.code == 1
    assert f"fauds build-captions --dataset bp4d --workdir '{work}'" in outcome.err
    assert not work.exists()
    outcome = cli("captions", *command, "--dataset", "bp5d")
    assert outcome.code == 2 and "did you mean 'bp4d'" in outcome.err


def test_captions_of_other_frames_are_refused(cli, bp4d_root, tmp_path):
    words = ("--dataset", "bp4d", "--workdir", tmp_path)
    cli.ok("build-captions", *words, "--root", bp4d_root)
    fewer = ("--root", bp4d_root, "--subjects", "F001,F004")
    cli.ok("split", *words, *fewer, "--method", "random", "--folds", 2)
    for command in (("stats",), ("export", "--format", "hf")):
        outcome = cli("captions", *command, *words)
        assert outcome.code == 1 and "from other frames" in outcome.err
        assert "fauds build-captions --dataset bp4d" in outcome.err
    assert not (tmp_path / "bp4d" / "export").exists()
    cli.ok("build-captions", *words)
    cli.ok("captions", "stats", *words)


def test_statistics_are_those_of_the_tables(cli, work, bp4d):
    frames, captions = tables(work, "bp4d")
    out = cli.ok("captions", "stats", *bp4d)
    assert out.startswith(f"bp4d: {len(frames)} frames of 3 subjects, synthetic;")
    for au in ("AU02", "AU12"):
        cells = next(line for line in out.splitlines() if line.split()[:1] == [au]).split()
        coded, active = frames[au].notna().sum(), (frames[au] == 1).sum()
        assert cells[1:4] == [str(coded), str(active), f"{100 * active / coded:.1f}"]
        if au == "AU12":
            degrees = [
                ((frames[au] == 1) & (frames[f"{au}_intensity"] == n)).sum() for n in range(1, 6)
            ]
            assert cells[4:] == list(map(str, degrees))
    most = captions["face"].value_counts()
    assert most.index[0] in out
    assert f"{captions['face'].notna().sum()}" in out
    assert "of paraphrase 2" in out and "never" in out
    assert "1 frames without a global description" in out


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off_on_a_terminal(work, width):
    built = open_captions(work / "bp4d", "bp4d")
    frames, _ = tables(work, "bp4d")
    first = frames.iloc[1]
    frame = find_frame(built, f"{first['subject']}/{first['task']}/{first['frame']}")
    shows = [
        lambda console: show_au(au_sheet("AU12"), every=True, console=console),
        lambda console: show_au(au_sheet("AU12", "zh"), console=console),
        lambda console: show_frame(frame, console=console),
        lambda console: show_statistics(caption_statistics(built), console),
    ]
    for show in shows:
        file = io.StringIO()
        show(Console(file=file, width=width, force_terminal=True, color_system=None, markup=False))
        assert "…" not in file.getvalue()
        for line in file.getvalue().splitlines():
            # Paths and the first line may be longer: the terminal wraps them.
            assert cell_len(line.rstrip()) <= width or "/" in line or line.startswith("bp4d:")


def test_jsonl_has_one_line_per_frame_with_the_values_of_the_tables(cli, work, bp4d, disfa):
    for words, dataset in ((bp4d, "bp4d"), (disfa, "disfa")):
        frames, captions = (table.astype(object) for table in tables(work, dataset))
        frames, captions = (t.where(t.notna(), None) for t in (frames, captions))
        out = cli.ok("captions", "export", "--format", "jsonl", *words)
        path = work / dataset / "export" / "captions.jsonl"
        meta = store.read_meta(work / dataset / "frames.parquet")
        assert f"{path}: {len(frames)} frames, synthetic" in out
        has_images = frames.image.notna().any()
        assert (f"; images are relative to {meta['image_root']}\n" in out) == has_images
        assert ("none with an image file of its own" in out) != has_images
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(frames)
        aus = [name for name in captions.columns if name in AUS]
        graded = [au for au in aus if f"{au}_intensity" in frames.columns]
        for line, row, caption in zip(
            lines, frames.to_dict("records"), captions.to_dict("records"), strict=True
        ):
            assert json.loads(line) == {
                "dataset": dataset,
                **{key: None if pd.isna(row[key]) else row[key] for key in FRAME},
                "aus": {au: row[au] for au in aus},
                "intensities": {au: row[f"{au}_intensity"] for au in graded},
                "local": {au: caption[au] for au in aus},
                "global": caption["face"],
            }
        if dataset == "bp4d":
            assert (Path(meta["image_root"]) / json.loads(lines[0])["image"]).is_file()


@pytest.mark.slow
def test_jsonl_can_go_to_stdout_and_to_a_pipe_that_closes_early(cli, work, bp4d, tmp_path):
    cli.ok("captions", "export", "--format", "jsonl", "--out", tmp_path / "f.jsonl", *bp4d)
    command = [sys.executable, "-m", "fauds", "captions", "export", "--format", "jsonl"]
    command += ["--out", "-", *map(str, bp4d)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == (tmp_path / "f.jsonl").read_bytes()
    assert b"images are relative to" in done.stderr
    read, write = subprocess.PIPE, subprocess.PIPE
    with subprocess.Popen(command, stdout=read, stderr=write) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.slow
def test_jsonl_can_go_to_dev_stdout_and_a_full_disk_is_an_error(work, bp4d):
    command = [sys.executable, "-m", "fauds", "captions", "export", "--format", "jsonl"]
    command += [*map(str, bp4d), "--out"]
    lines = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    done = subprocess.run([*command, "/dev/stdout"], capture_output=True, check=True)
    assert done.stdout == lines
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*command, "-"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: stdout could not be written: No space left on device.\n")
    assert len(done.stderr.splitlines()) == 2 and "write to another file" in done.stderr


def test_an_export_does_not_overwrite_a_folder_that_is_no_export(cli, bp4d, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    for kind, out in (("jsonl", mine / "thesis.txt"), ("jsonl", mine), ("hf", mine)):
        outcome = cli("captions", "export", "--format", kind, "--out", out, *bp4d)
        assert outcome.code == 2
        assert "not an export" in outcome.err and "--out" in outcome.err
    assert (mine / "thesis.txt").read_text() == "all of it"
    assert cli("captions", "export", "--format", "hf", "--out", "-", *bp4d).code == 2


def test_the_hugging_face_folder_opens(cli, work, bp4d, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    frames, captions = tables(work, "bp4d")
    out = cli.ok("captions", "export", "--format", "hf", *bp4d)
    folder = work / "bp4d" / "export" / "hf"
    assert f"{folder}: {len(frames)} frames, synthetic" in out
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path)).to_pandas()
    assert loaded["frame_id"].tolist() == frames["frame_id"].tolist()
    assert loaded["AU12_text"].tolist() == captions["AU12"].astype(str).tolist()
    assert loaded["image"].tolist() == frames["image"].tolist()
    assert loaded["sex"].tolist() == frames["sex"].astype(str).tolist()
    missing = captions["face"].isna()
    assert (loaded["global"].isna() == missing).all() and missing.sum() == 1
    assert "**Synthetic data.**" in (folder / "README.md").read_text(encoding="utf-8")


def test_tables_open_in_pandas_duckdb_and_polars(work):
    folder = work / "bp4d"
    kinds = {
        "frames": {"frame_id": "BIGINT", "subject": "VARCHAR", "frame": "INTEGER"}
        | {"image": "VARCHAR", "AU12": "TINYINT", "AU12_intensity": "TINYINT", "sex": "VARCHAR"},
        "captions": {"frame_id": "BIGINT", "AU12": "VARCHAR", "face": "VARCHAR"},
        "phrases": {"phrase_id": "INTEGER", "scope": "VARCHAR", "au": "VARCHAR"}
        | {"state": "VARCHAR", "variant": "TINYINT", "text": "VARCHAR", "tokens": "INTEGER[]"},
        "vocabulary": {"scope": "VARCHAR", "id": "INTEGER", "token": "VARCHAR"}
        | {"space": "BOOLEAN", "count": "BIGINT"},
    }
    for table, expected in kinds.items():
        path = str(folder / f"{table}.parquet")
        rows = pq.read_table(path).to_pylist()
        columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        assert {name: kind for name, kind, *_ in columns if name in expected} == expected
        assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(len(rows),)]
        frame = pl.read_parquet(path)
        assert frame.to_dicts() == rows
        strings = [name for name, kind in expected.items() if kind == "VARCHAR"]
        assert strings and {type(frame[name].dtype) for name in strings} <= {
            pl.String,
            pl.Categorical,
        }
        whole = pd.read_parquet(path)
        assert len(whole) == len(rows)
        text = strings[-1]
        assert [None if pd.isna(v) else v for v in whole[text]] == [row[text] for row in rows]


def test_lint_counts_problems_and_names_their_place(cli, tmp_path):
    out = cli.ok("captions", "lint", "--language", "en")
    assert re.fullmatch(r"en: no problems in \d+ files, \d,\d{3} sentences\n", out)
    own = tmp_path / "own"
    (own / "en" / "local").mkdir(parents=True)
    broken = own / "en" / "local" / "AU12.yaml"
    broken.write_text("inactive:\n- - One.\nactve:\n- - Two.\n")
    outcome = cli("captions", "lint", "--templates", own)
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert any(line.startswith(f"{broken}:3: ") for line in lines)
    assert lines[-1].startswith(f"en: {len(lines) - 1} problems in ")
    shutil.copytree(own / "en", own / "zh")
    counts = [
        line
        for line in cli("captions", "lint", "--templates", own).out.splitlines()
        if " problems in " in line
    ]
    assert [line.split(":")[0] for line in counts] == ["en", "zh"]
    assert cli("captions", "lint", "--language", "klingon").code == 2
    (tmp_path / "nothing").mkdir()
    outcome = cli("captions", "lint", "--templates", tmp_path / "nothing")
    assert outcome.code == 2 and "contains no language" in outcome.err


@pytest.mark.slow
def test_figure_writes_a_figure(cli, work, bp4d, tmp_path):
    for words in (("show", "AU12"), ("show", *bp4d), ("stats", *bp4d)):
        path = tmp_path / "figures" / f"{len(words)}.png"
        assert cli.ok("captions", *words, "--figure", path).endswith(f"{path}\n")
        assert path.read_bytes().startswith(b"\x89PNG")
    outcome = cli("captions", "stats", *bp4d, "--figure", tmp_path / "x.gif")
    assert outcome.code == 2 and ".png, .pdf or .svg" in outcome.err
    (tmp_path / "file").write_text("")
    outcome = cli("captions", "stats", *bp4d, "--figure", tmp_path / "file" / "x" / "y.png")
    assert outcome.code == 1 and "y.png could not be written" in outcome.err
    assert "--workdir" not in outcome.err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['fauds', 'captions', '--help']\n"
        "try:\n    from fauds.cli.main import main; main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'spacy', 'pandas', 'numpy', 'pyarrow', 'matplotlib', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "export" in done.stdout and done.stdout.endswith("[]\n")


def test_a_facs_string_is_described_in_three_lengths(cli):
    report = cli.ok("captions", "describe", "1C+2C+12D", "--sex", "F").splitlines()
    assert report[0].startswith("A woman's inner brow is markedly pulled up (1C), ")
    assert len(report) == 4 and report[3].endswith(" (12D)")
    face = cli.ok("captions", "describe", "6+12+25", "--length", "face")
    assert face == describe_face([6, 12, 25]) + "\n"
    sentence = cli.ok("captions", "describe", "6+12+25", "--length", "sentence")
    assert sentence.count(".") == 1
    chinese = cli.ok("captions", "describe", "0", "--language", "zh", "--length", "face")
    assert chinese == describe_face([], language="zh") + "\n"
    composed = cli.ok("captions", "describe", "6+12", "--style", "composed").splitlines()
    assert composed[2].startswith("One or both lip corners are pulled back and up, and with it the")
    left = cli.ok("captions", "describe", "1+L12", "--sex", "F", "--length", "face")
    assert left.endswith(", on her left.\n") and left.count("on one side or both") == 1
    assert "is not a FACS code" in cli("captions", "describe", "6x").err


def test_the_style_options_are_the_styles_of_the_library():
    from fauds.captions import DEFAULT_STYLE, STYLES
    from fauds.cli.captions import build_captions

    (option,) = (one for one in build_captions.params if one.name == "style")
    assert sorted(option.type.choices) == sorted(STYLES)
    assert f"[default: {DEFAULT_STYLE}]" in option.help
