"""``fauds adopt``: tables of people's own become datasets, without Python and without renaming."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from fauds.evaluation import results as results_file
from tests.helpers import Cli

NAMES = {"F001": "李雷", "M002": "韩 梅梅", "F004": "ana"}
AUS = {"AU01": "AU1", "AU04": "AU 4", "AU06": "au_6", "AU12": "AU12"}

pytestmark = pytest.mark.usefixtures("quick_tsne")


@pytest.fixture
def own(bp4d_root, tmp_path, monkeypatch) -> Path:
    """Return a folder with codes.csv of three people with names in their own script, and images/.

    It is the current folder.
    """
    folder = tmp_path / "mine"
    rows = []
    for image in sorted(bp4d_root.rglob("*.jpg")):
        subject, task, number = image.parts[-3], image.parts[-2], int(image.stem)
        codes = pd.read_csv(bp4d_root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv")
        labels = codes[codes["0"] == number]
        if labels.empty:
            continue
        target = folder / "images" / NAMES[subject] / task / f"{number:05d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
        coded = {spelt: labels[str(int(au[2:]))].iloc[0] for au, spelt in AUS.items()}
        sex = "女" if subject[0] == "F" else "male"
        rows.append({"person": NAMES[subject], "clip": task, "frame": number, "sex": sex, **coded})
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    table.to_csv(folder / "codes.csv", index=False)
    monkeypatch.chdir(folder)
    return folder


def frames_of(work: Path, name: str = "my-faces") -> pd.DataFrame:
    return pq.read_table(work / name / "frames.parquet").to_pandas()


def test_a_table_of_people_with_chinese_names_becomes_a_dataset(cli: Cli, own: Path, work: Path):
    out = cli.ok("adopt", "codes.csv", "--images", "images", "--name", "my-faces").splitlines()
    assert out[0] == (
        "table: a table of codes: subject in 'person', clip in 'clip', frame in 'frame', "
        "codes of 4 AUs"
    )
    assert "subjects: 3 (ana, 李雷, 韩 梅梅)" in out
    assert "sex of the subjects: F 2, M 1, not known 0" in out
    assert any(line.startswith("images: 144 of 144 frames, by the pattern {subject}/{clip}/{frame}")
               for line in out)  # fmt: skip
    assert out[-2:] == [
        "  fauds prepare --benchmark my-faces.yaml",
        "  fauds bench linear --preset tiny --benchmark my-faces.yaml",
    ]
    protocol = yaml.safe_load((own / "my-faces.yaml").read_text(encoding="utf-8"))
    assert protocol["table"] == {
        "file": "codes.csv",
        "images": "images",
        "pattern": "{subject}/{clip}/{frame}",
    }
    assert protocol["aus"] == [*AUS] and protocol["occurrence"] == "coded"
    assert sorted(name for part in protocol["folds"]["parts"].values() for name in part) == sorted(
        NAMES.values()
    )
    by_file = ("--benchmark", "my-faces.yaml")
    cli.ok("build-captions", *by_file)
    cli.ok("split", *by_file)
    table = pd.read_csv(own / "codes.csv").set_index(["person", "clip", "frame"]).sort_index()
    frames = frames_of(work)
    assert set(frames["subject"]) == set(NAMES.values())
    assert frames["key"][0] == f"{frames['subject'][0]}/{frames['task'][0]}/{frames['frame'][0]}"
    for row in frames.itertuples():
        codes = table.loc[(row.subject, row.task, row.frame)]
        assert [getattr(row, au) for au in AUS] == [codes[spelt] for spelt in AUS.values()]
        assert (own / "images" / row.image).exists()
        assert row.image == f"{row.subject}/{row.task}/{row.frame:05d}.jpg"
    assert dict(zip(frames["subject"], frames["sex"], strict=True)) == {
        "李雷": "F",
        "韩 梅梅": "M",
        "ana": "F",
    }
    shown = cli.ok("captions", "show", frames["key"][0], "--dataset", "my-faces")
    assert frames["key"][0] in shown


@pytest.mark.slow
def test_adopted_frames_go_all_the_way_to_a_report_and_a_score(cli: Cli, own: Path, work: Path):
    by_file = ("--benchmark", "my-faces.yaml")
    cli.ok("adopt", "codes.csv", "--images", "images", "--name", "my-faces")
    for step in ("build-captions", "split", "prepare"):
        cli.ok(step, *by_file)
    cli.ok("bench", "linear", "--preset", "tiny", *by_file, "--set", "training.epochs=1")
    (run,) = (work / "my-faces" / "runs").iterdir()
    results = results_file.read(run)
    assert results.frames_scored == 144 and not results.synthetic
    cli.ok("report", run.name, *by_file)
    assert "李雷" in (run / "report.html").read_text(encoding="utf-8")
    # The codes themselves, as predictions, are right everywhere.
    cli.ok("score", "codes.csv", *by_file, "--name", "codes")
    (scored,) = (work / "my-faces" / "runs").glob("score-*")
    assert results_file.read(scored).summary["f1"] == 1
    # A frame that is coded anew is read anew.
    table = pd.read_csv(own / "codes.csv")
    table["AU12"] = 1 - table["AU12"]
    table.to_csv(own / "codes.csv", index=False)
    before = frames_of(work)["AU12"].tolist()
    cli.ok("split", *by_file)
    assert frames_of(work)["AU12"].tolist() == [1 - value for value in before]


def test_facs_notation_with_sides_and_intensities_is_adopted(cli, tmp_path, work, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("facs.csv").write_text(
        "subject,clip,frame,facs\nA,x,10,1C+2C+L12B\nA,x,2,0\nB,x,1,R12D\nB,x,2,12?\nC,y,5,6\n"
    )
    out = cli.ok("adopt", "facs.csv", "--name", "facs")
    assert "sides of the face: AU12" in out and "intensities: AU01, AU02, AU06, AU12" in out
    assert "codes with a question mark, which count as not coded: 1" in out
    cli.ok("build-captions", "--benchmark", "facs.yaml", "--degrees")
    frames = frames_of(work, "facs")
    assert frames["key"].tolist() == ["A/x/2", "A/x/10", "B/x/1", "B/x/2", "C/y/5"]
    assert frames["AU12"].tolist()[:3] == [0, 1, 1] and pd.isna(frames["AU12"][3])
    assert frames["AU12_intensity"].tolist()[:3] == [0, 2, 4]
    sides = frames["AU12_side"].astype(object)
    assert sides.where(sides.notna(), None).tolist() == [None, "L", "R", None, None]
    captions = pq.read_table(work / "facs" / "captions.parquet").to_pandas()
    assert "slightly" in captions["AU12"][1]


def test_intensities_alone_give_occurrence_by_a_rule(cli, tmp_path, work, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("int.csv").write_text(
        "subject,frame,AU12_intensity,AU06_intensity\nA,1,1.9,0\nA,2,2,9\nB,1,0,3\nB,2,5,1\n"
    )
    cli.ok("adopt", "int.csv", "--name", "int", "--missing-code", 9, "--folds", 2)
    cli.ok("split", "--benchmark", "int.yaml")
    frames = frames_of(work, "int")
    assert frames["AU12"].tolist() == [0, 1, 0, 1]
    assert frames["AU12_intensity"].tolist() == [1, 2, 0, 5]
    assert frames["AU06"].tolist()[2:] == [1, 0] and pd.isna(frames["AU06"][1])
    text = Path("int.yaml").read_text().replace("intensity >= 2", "intensity >= 1")
    Path("int.yaml").write_text(text.replace("version: 1\ntitle", "version: 2\ntitle"))
    cli.ok("split", "--benchmark", "int.yaml")
    assert frames_of(work, "int")["AU12"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("layout", "how"),
    [
        ("{subject}/{frame}.png", "by the pattern {subject}/{frame}"),
        ("{subject}_{clip}_{frame}.png", "by the pattern {subject}_{clip}_{frame}"),
        ("deep/er/{clip}-{subject}/img{frame}.png", "by the pattern"),
        ("{subject}-any-{frame}.png", "by the table's column of images"),
    ],
)
def test_images_are_found_by_a_pattern_or_by_a_column(
    cli, tmp_path, work, monkeypatch, layout, how
):
    monkeypatch.chdir(tmp_path)
    rows = ["subject,clip,frame,AU12" + (",image" if "column" in how else "")]
    for subject in ("é", "B"):
        for frame in (7, 12):
            name = layout.format(subject=subject, clip="x", frame=f"{frame:03d}")
            path = Path("images") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            rows.append(f"{subject},x,{frame},1" + (f",C:\\old\\{name}" if "column" in how else ""))
    Path("t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    words = ["adopt", "t.csv", "--name", "t", "--images", "images"]
    if "deep" in layout:
        words += ["--pattern", "deep/er/{clip}-{subject}/img{frame}"]
    assert "images: 4 of 4 frames, " + how in cli.ok(*words)
    cli.ok("split", "--benchmark", "t.yaml", "--folds", 2)
    frames = frames_of(work, "t")
    assert frames["image"].tolist() == [
        layout.format(subject=subject, clip="x", frame=f"{frame:03d}")
        for subject in ("B", "é")
        for frame in (7, 12)
    ]


def test_single_images_of_known_people_are_adopted(cli, tmp_path, work, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (Path("images") / name).write_bytes(b"")
    Path("t.csv").write_text("image,subject,AU12\nb.jpg,B,1\na.jpg,A,0\nc.jpg,A,1\n")
    out = cli.ok("adopt", "t.csv", "--name", "t", "--images", "images")
    assert "frames: 3 single images" in out and "images: 3 of 3 frames" in out
    cli.ok("split", "--benchmark", "t.yaml", "--folds", 2)
    frames = frames_of(work, "t")
    assert frames["key"].tolist() == ["a", "c", "b"] and frames["frame"].isna().all()
    assert frames["image"].tolist() == ["a.jpg", "c.jpg", "b.jpg"]


def test_names_that_look_like_numbers_stay_names(cli, tmp_path, work, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subjects = ["007", "7", "no", "1e3", "2024-01-01", "a: b", "#x"]
    rows = [f'"{subject}",{frame},{frame % 2}' for subject in subjects for frame in (1, 2)]
    Path("t.csv").write_text("\n".join(["Bildner,frame,AU12", *rows]) + "\n")
    cli.ok("adopt", "t.csv", "--name", "t", "--column", "subject=Bildner")
    cli.ok("split", "--benchmark", "t.yaml")
    assert sorted(set(frames_of(work, "t")["subject"])) == sorted(subjects)
    folds = pq.read_table(work / "t" / "folds.parquet").to_pandas()
    assert sorted(folds["subject"]) == sorted(subjects)
    assert np.bincount(folds["fold"])[1:].tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("frame,AU12\n1,0\n", (), "no column of subjects"),
        ("subject,AU12\nA,0\n", (), "does not say which frame or image"),
        ("subject,frame,AU12\nA,1,0\nA,1,1\n", (), "The frame A/1 is listed twice"),
        ("subject,frame,AU12\na/b,1,0\n", (), "cannot be part of the name of a file"),
        ("subject,frame,AU12\n,1,0\n", (), "The row has no subject"),
        ("subject,frame,AU12\nA,1.5,0\n", (), "The frame number is 1.5"),
        ("subject,frame,AU12\nA,1,0.5\n", (), "on what scale"),
        ("subject,frame,AU12\nA,1,0\nB,1,1\n", ("--name", "My Faces"), "cannot be the name"),
        ("subject,frame,AU12\nA,1,0\nB,1,1\n", ("--name", "bp4d"), "protocol that fauds ships"),
        ("subject,frame,AU12\nA,1,0\nB,1,1\n", ("--folds", "3"), "cannot be divided into 3"),
        ("subject,frame,AU12\nA,1,0\nB,1,1\n", ("--aus", "6"), "does not code AU06"),
        ("subject,frame,AU12\nA,1,0\n", ("--occurrence", "intensity >= 2"), "no intensities"),
        ("subject,frame,AU12\nA,1,0\nB,1,1\n", ("--images", "gone"), "images does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_adopted_says_why(cli, tmp_path, monkeypatch, text, words, message):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(text)
    name = () if "--name" in words else ("--name", "t")
    done = cli("adopt", "t.csv", *name, *words)
    assert done.code in (1, 2) and message in done.err and "Traceback" not in done.err
    assert not Path("t.yaml").exists()


def test_a_protocol_is_not_overwritten_and_needs_no_root(cli, own, work):
    cli.ok("adopt", "codes.csv", "--name", "my-faces")
    done = cli("adopt", "codes.csv", "--name", "my-faces")
    assert done.code == 2 and "exists already" in done.err
    done = cli("split", "--benchmark", "my-faces.yaml", "--root", ".")
    assert done.code == 2 and "leave out --root" in done.err
    cli.ok("split", "--benchmark", "my-faces.yaml")
    # The stored protocol finds the table from any folder.
    (own / "elsewhere").mkdir()
    shutil.move(own / "my-faces.yaml", own / "elsewhere")
    cli.ok("build-captions", "--dataset", "my-faces")
    done = cli("split", "--dataset", "table")
    assert done.code == 2 and "no benchmark named 'table'" in done.err
