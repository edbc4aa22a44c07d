"""fauds.describe and fauds.events from Python: notation, files and DataFrames."""

import numpy as np
import pandas as pd
import pytest

import fauds
from fauds.errors import UsageError
from fauds.facs import parse_codes
from tests.annotation.helpers import events_of, openface, ramp


def test_facs_notation_is_described_with_sides():
    smile = fauds.describe("6+L12B", sex="F")
    assert smile.active == ("AU06", "AU12")
    assert smile.face.endswith(" on her left.") and "Her " in smile.face
    assert smile.local["AU12"] == "Coded on her left. " + fauds.describe({12: "B"}).local["AU12"]
    assert smile.sentence.count(".") == 1 and smile.sentence.endswith(
        "; her lip corner is slightly pulled back and up, on her left."
    )
    assert smile.report.splitlines()[0] == smile.face and "(L12B)" in smile.report
    assert smile.local["AU06"] == fauds.describe({6: 1}).local["AU06"]
    assert fauds.describe(parse_codes("6+L12B"), sex="F") == smile
    assert fauds.describe("1C+2C") == fauds.describe({"AU01": "C", "AU02": "C"})
    assert fauds.describe("12?+51+6").active == ("AU06",)
    assert fauds.describe("neutral").active == ()
    assert "（" in fauds.describe("L12", language="zh").face
    other = fauds.describe("6+L12B", sex="F", variant=1)
    assert other.face != smile.face and other.local["AU12"] != smile.local["AU12"]
    with pytest.raises(UsageError, match="'6x' is not a FACS code"):
        fauds.describe("6x")


def test_a_file_and_a_data_frame_give_the_same_events(tmp_path):
    path = openface(tmp_path / "table.csv", {"AU12": ramp((0, 10), (3, 10), (0, 10))})
    notes: list[str] = []
    events = fauds.events(path, say=notes.append)
    assert notes[0].startswith(f"{path}: OpenFace")
    assert events["kind"].tolist() == ["AU", "face"]
    (clip,) = events_of(path)
    assert events["onset"].tolist() == [clip.single[0].onset] * 2
    assert events["peak_intensity"][0] == 3 and np.isnan(events["peak_intensity"][1])
    assert events["text"][1] == fauds.describe({"AU12": 1}).face
    frame = pd.read_csv(path, skipinitialspace=True)
    pd.testing.assert_frame_equal(fauds.events(frame), events)
    pd.testing.assert_frame_equal(fauds.events(str(path)), events)
    longer = fauds.events(path, shortest=2)
    assert longer.empty and longer.columns.tolist() == events.columns.tolist()
    assert fauds.events(path, degrees=True)["text"][0] == fauds.describe({12: "C"}).local["AU12"]


def test_every_frame_of_a_table_is_described():
    table = pd.DataFrame({"person": ["李雷"] * 3, "frame": [1, 2, 3], "AU06": [0, 1, None],
                          "AU12": [0.1, 0.9, 0.2]})  # fmt: skip
    with pytest.raises(UsageError, match="--scale probability"):
        fauds.describe(table)
    frames = fauds.describe(table.assign(AU06=0.9), "F", scale="probability")
    assert frames["subject"].tolist() == ["李雷"] * 3
    assert frames["AU12"].tolist() == [0, 1, 0] and frames["codes"].tolist() == ["6", "6+12", "6"]
    assert frames["face_text"][1] == fauds.describe({6: 1, 12: 1}, "F").face
    named = fauds.describe(
        table.drop(columns="AU12").rename(columns={"frame": "Bild"}), columns={"frame": "Bild"}
    )
    assert named["AU06"].tolist()[:2] == [0, 1] and pd.isna(named["AU06"][2])


def test_importing_and_describing_loads_no_torch(tmp_path):
    import subprocess
    import sys

    path = openface(tmp_path / "table.csv", {"AU12": ramp((0, 10), (3, 10))})
    code = (
        "import sys, fauds; fauds.events(sys.argv[1]); fauds.describe('6+12'); "
        "loaded = {'torch', 'timm', 'spacy', 'cv2'} & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
