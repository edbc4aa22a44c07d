"""Tables of action units that other programs write, each as that program does, and their values.

The layouts follow the programs' documentation and public output: OpenFace 2 (FeatureExtraction,
FaceLandmarkImg), py-feat's Fex, LibreFace, AUCanvas and OpenGraphAU, PyAFAR, iMotions' export of
FACET, fauds explain; and tables that people write by hand.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds.datasets.code_rows import CodeRows, CodeTable, join_rows, open_codes
from fauds.errors import DataError, UsageError
from fauds.facs import SIDES

NAN = float("nan")


def opened(folder: Path, text: str, name: str = "talk.csv", **options: object) -> CodeTable:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return open_codes(path, **options)


def all_rows(table: CodeTable) -> CodeRows:
    return join_rows(list(table.rows()))


def values(columns: dict) -> dict[str, list]:
    return {
        au: [None if np.isnan(value) else round(float(value), 6) for value in column]
        for au, column in columns.items()
    }


def sides(rows: CodeRows) -> dict[str, list]:
    return {
        au: [SIDES[side] if side >= 0 else None for side in column.tolist()]
        for au, column in rows.sides.items()
    }


def test_openface_of_a_video(tmp_path: Path) -> None:
    """Blanks after commas, AU28 without an intensity, rows without success that keep values."""
    table = opened(
        tmp_path,
        "frame, face_id, timestamp, confidence, success, gaze_0_x, pose_Rx, AU01_r, AU12_r,"
        " AU01_c, AU12_c, AU28_c\n"
        "1, 0, 0.000, 0.98, 1, 0.1, 0.2, -0.03, 2.41, 0.00, 1.00, 1.00\n"
        "2, 0, 0.033, 0.20, 0, 0.1, 0.2, 1.00, 3.00, 1.00, 1.00, 0.00\n"
        "3, 0, 0.067, 0.95, 1, 0.1, 0.2, -nan(ind), 5.00, 1.00, 0.00, 0.00\n",
    )
    rows = all_rows(table)
    assert table.recognised() == (
        "OpenFace: frame in 'frame', time in 'timestamp', intensities of 2 AUs, decisions of 3 AUs"
    )
    assert table.layout.first_frame == 1 and not table.layout.images
    assert rows.numbers["frame"].tolist() == [1, 2, 3]
    assert rows.numbers["time"].tolist() == [0, 0.033, 0.067]
    assert rows.has_face.tolist() == [True, False, True]
    assert values(rows.intensities) == {"AU01": [0, None, None], "AU12": [2.41, None, 5]}
    assert values(rows.decisions) == {
        "AU01": [0, None, 1],
        "AU12": [1, None, 0],
        "AU28": [1, None, 0],
    }
    assert table.counts.lines() == [
        "rows without a face, which count as not coded: 1",
        "intensities a little outside 0 to 5, which were set to 0 or 5: 1",
        "cells that are no number, which count as not coded "
        f"(first in column AU01_r, {tmp_path / 'talk.csv'}:4): 1",
    ]


def test_openface_of_images(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "face, confidence, gaze_0_x, AU12_r, AU12_c\n0, 0.9, 0.1, 3.2, 1\n1, 0.8, 0.1, 0.0, 0\n",
    )
    rows = all_rows(table)
    assert table.layout.images and table.layout.tool == "OpenFace"
    assert rows.texts["face"].to_pylist() == ["0", "1"]
    assert values(rows.intensities) == {"AU12": [3.2, 0]}


@pytest.mark.parametrize(
    ("header", "start"), [("frame,FaceRectX,", "7,1,"), (",FaceRectX,frame,", "0,1,7,")]
)
def test_pyfeat_of_any_version(tmp_path: Path, header: str, start: str) -> None:
    """Probabilities without a suffix; a frame without a face is a row of empty cells."""
    empty = ",".join("" if cell == "1" else cell for cell in start.split(",")).replace("7", "8")
    table = opened(
        tmp_path,
        f"{header}FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,x_0,AU01,AU11,AU12,anger,"
        "approx_time,Identity,input\n"
        f"{start}2,10,20,0.99,5,0.25,0.5,0.96,0.1,0:01,Person_0,/data/talk.mp4\n"
        f"{empty},,,,,,,,,0:01,,/data/talk.mp4\n",
        sizes=True,
    )
    rows = all_rows(table)
    assert table.layout.tool == "py-feat" and table.layout.first_frame == 0
    assert rows.numbers["frame"].tolist() == [7, 8]
    assert values(rows.probabilities) == {"AU01": [0.25, None], "AU11": [0.5, None],
                                          "AU12": [0.96, None]}  # fmt: skip
    assert rows.has_face.tolist() == [True, False]
    assert rows.texts["image"].to_pylist() == ["/data/talk.mp4"] * 2
    assert rows.texts["face"].to_pylist() == ["Person_0", None]
    assert rows.size is not None and rows.size.tolist()[0] == 200


def test_libreface(tmp_path: Path) -> None:
    """Occurrence without a suffix, intensities of other AUs, times in ms, rows left out."""
    table = opened(
        tmp_path,
        "frame_idx,frame_time_in_ms,pitch,au_1,au_7,au_1_intensity,au_26_intensity\n"
        "0,0.0,1.5,0,1,2.5,0.0\n5,166.7,1.5,1,1,0.25,4.5\n",
    )
    rows = all_rows(table)
    assert table.layout.tool == "LibreFace" and table.layout.first_frame == 0
    assert rows.numbers["frame"].tolist() == [0, 5]
    assert rows.numbers["time"] == pytest.approx([0, 0.1667])
    assert values(rows.decisions) == {"AU01": [0, 1], "AU07": [1, 1]}
    assert values(rows.intensities) == {"AU01": [2.5, 0.25], "AU26": [0, 4.5]}


def test_aucanvas_and_opengraphau_with_sides(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "frame_idx,AU12_prob,AU12_act,AUL12_prob,AUL12_act,AUR12_prob,AUR12_act,AUL2_prob,"
        "AUL2_act,AUR2_prob,AUR2_act,AU38_prob,AU38_act\n"
        "0,.9,1,.9,1,.1,0,.2,0,.7,1,0,0\n1,.2,0,.1,0,.1,0,.8,1,.9,1,0,0\n",
    )
    rows = all_rows(table)
    assert table.layout.tool == "AUCanvas or OpenGraphAU"
    assert table.layout.unknown_aus == ("AU38_prob", "AU38_act")
    assert values(rows.probabilities) == {"AU12": [0.9, 0.2], "AU02": [0.7, 0.9]}
    assert values(rows.decisions) == {"AU12": [1, 0], "AU02": [1, 1]}
    assert sides(rows) == {"AU12": ["L", None], "AU02": ["R", "B"]}


def test_pyafar(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "Frame,Person_ID,Pitch,Occ_au_1,Occ_au_12,Int_au_12\n0,0,1.0,0.1,0.9,3.2\n",
    )
    rows = all_rows(table)
    assert table.layout.tool == "PyAFAR"
    assert values(rows.probabilities) == {"AU01": [0.1], "AU12": [0.9]}
    assert values(rows.intensities) == {"AU12": [3.2]}
    assert rows.texts["face"].to_pylist() == ["0"]


def test_imotions_export_of_facet(tmp_path: Path) -> None:
    """Lines above the header, tabs, evidence as the logarithm of odds, times in ms."""
    table = opened(
        tmp_path,
        "#Study : Rest\n#Version : 6.1\n\n"
        "StudyName\tName\tGender\tStimulusName\tTimestamp\tFrameNo\tNoOfFaces\tJoy Evidence\t"
        "AU1 Evidence\tAU12 Evidence\n"
        "Rest\tAnna Ö\tFEMALE\tfilm 1\t35\t0\t1\t-1\t-1\t1\n"
        "Rest\tAnna Ö\tFEMALE\tfilm 1\t68\t1\t0\t\t\t\n",
        "export.txt",
    )
    rows = all_rows(table)
    assert table.layout.tool == "iMotions"
    assert rows.texts["subject"].to_pylist() == ["Anna Ö"] * 2
    assert rows.texts["clip"].to_pylist() == ["film 1"] * 2
    assert rows.texts["sex"].to_pylist() == ["F", "F"]
    assert rows.numbers["time"] == pytest.approx([0.035, 0.068])
    assert values(rows.probabilities) == {"AU01": [round(1 / 11, 6), None],
                                          "AU12": [round(10 / 11, 6), None]}  # fmt: skip


def test_fauds_own_output(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "source,frame,face_id,timestamp,confidence,success,AU12_c,AU12_p,AU12_text\n"
        "a.mp4,1,0,0.000,1,1,1,0.75,The corners\na.mp4,2,0,0.040,0,0,0,0,\n",
    )
    rows = all_rows(table)
    assert table.layout.tool == "fauds explain"
    assert values(rows.probabilities) == {"AU12": [0.75, None]}
    assert values(rows.decisions) == {"AU12": [1, None]}
    assert rows.texts["clip"].to_pylist() == ["a.mp4"] * 2
    path = tmp_path / "faces.parquet"
    meta = {"fauds": json.dumps({"settings": {"weights": "run, fold 1"}})}
    columns = {
        "source": ["a.mp4"],
        "frame": pa.array([1], pa.int32()),
        "timestamp": [0.0],
        "face": pa.array([0], pa.int16()),
        "estimated": [False],
        "detector": ["dlib"],
        "AU12": pa.array([0.25], pa.float32()),
    }
    pq.write_table(pa.table(columns).replace_schema_metadata(meta), path)
    table = open_codes(path)
    assert table.layout.weights == "run, fold 1"
    assert values(all_rows(table).probabilities) == {"AU12": [0.25]}


@pytest.mark.parametrize("name", ["AU12", "AU 12", "au_12", "AU012", "au12", "AU-12", "12"])
def test_plain_tables_of_occurrence_in_any_spelling(tmp_path: Path, name: str) -> None:
    table = opened(tmp_path, f"subject,clip,frame,{name}\n李雷,一,1,1\n李雷,一,2,\n")
    rows = all_rows(table)
    assert values(rows.decisions) == {"AU12": [1, None]}
    assert rows.has_face.all()
    assert rows.texts["subject"].to_pylist() == ["李雷"] * 2


def test_degrees_as_letters_and_sides_in_columns_of_their_own(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "subject,frame,AU06,AU12,AU12_side,sex\nA,1,0,C,l,woman\nA,2,1,0,,w\nB,1,e,b,B,m\n"
        "B,2,?,x,U,other\n",
    )
    rows = all_rows(table)
    assert values(rows.decisions) == {"AU06": [0, 1, 1, None], "AU12": [1, 0, 1, None]}
    assert values(rows.intensities) == {"AU06": [0, None, 5, None], "AU12": [3, 0, 2, None]}
    assert sides(rows) == {"AU12": ["L", None, "B", "U"]}
    assert rows.texts["sex"].to_pylist() == ["F", "F", "M", None]
    assert table.counts.no_number == 2 and table.counts.unknown_sex == 1


@pytest.mark.parametrize(
    ("scale", "quantity", "expected"),
    [
        ("occurrence", "decisions", [1, 0]),
        ("probability", "probabilities", [1, 0]),
        ("0-5", "intensities", [1, 0]),
        ("0-1", "intensities", [5, 0]),
        ("0-100", "intensities", [0.05, 0]),
    ],
)
def test_a_scale_is_what_the_user_says(
    tmp_path: Path, scale: str, quantity: str, expected: list[float]
) -> None:
    rows = all_rows(opened(tmp_path, "subject,frame,AU12\nA,1,1\nA,2,0\n", scale=scale))
    assert values(getattr(rows, quantity)) == {"AU12": expected}


def test_intensities_of_another_scale_are_scaled_if_the_user_says_so(tmp_path: Path) -> None:
    text = "frame_idx,au_1,au_1_intensity\n0,1,0.5\n"
    assert values(all_rows(opened(tmp_path, text)).intensities) == {"AU01": [0.5]}
    rows = all_rows(opened(tmp_path, text, scale="0-1"))
    assert values(rows.intensities) == {"AU01": [2.5]} and values(rows.decisions) == {"AU01": [1]}


def test_long_tables_have_one_row_an_au(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "subject,clip,frame,au,intensity,side\nA,x,1,AU12,3,L\nA,x,1,6,C,\nA,x,2,12,1.5,R\n"
        "A,x,4,51,1,\nA,x,4,AU 6,2,\n",
    )
    rows = all_rows(table)
    assert table.aus == ("AU06", "AU12") and table.implied
    assert rows.numbers["frame"].tolist() == [1, 2, 4]
    assert values(rows.intensities) == {"AU06": [3, 0, 2], "AU12": [3, 1.5, 0]}
    assert sides(rows)["AU12"] == ["L", "R", None]
    zeros = opened(tmp_path, "frame,au,occurrence\n1,12,1\n1,6,0\n2,12,0\n")
    joined = [values(rows.decisions) for rows in zeros.rows()]
    assert joined == [
        {"AU06": [0], "AU12": [1]},
        {"AU06": [None], "AU12": [0]},
    ], "an AU that is not listed beside zeros is not coded"
    rows = all_rows(opened(tmp_path, "frame,AU\n1,6\n1,AU12\n2,12\n"))
    assert values(rows.decisions) == {"AU06": [1, 0], "AU12": [1, 1]}


def test_a_name_that_is_almost_an_aus_is_said_to_be_unread(tmp_path: Path) -> None:
    layout = opened(tmp_path, "frame,AU12,AU12.1,AU99_r,AU12_text\n1,0,0,0,\n").layout
    assert layout.described().endswith(", not read: AU12.1, AU99_r")


def test_a_long_table_of_many_rows_keeps_the_rows_of_a_frame_together(tmp_path: Path) -> None:
    frames = np.repeat(np.arange(70_000), 3)
    aus = np.tile(["AU01", "AU06", "AU12"], 70_000)
    path = tmp_path / "long.parquet"
    marks = frames % 5 + 0.5
    pd.DataFrame({"frame": frames, "au": aus, "intensity": marks * (aus == "AU12")}).to_parquet(
        path
    )
    parts = list(open_codes(path).rows())
    assert len(parts) > 1
    joined = np.concatenate([part.numbers["frame"] for part in parts])
    assert np.array_equal(joined, np.arange(70_000))
    smiles = np.concatenate([part.intensities["AU12"] for part in parts])
    assert np.array_equal(smiles, np.arange(70_000) % 5 + 0.5)


def test_facs_notation_in_a_column(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "subject,clip,frame,facs\nA,x,1,1C+2C+L12B\nA,x,2,0\nA,x,3,12?\nA,x,4,\nA,x,5,?\n"
        "A,x,6,51+6\nA,x,7,neutral\n",
    )
    rows = all_rows(table)
    assert table.aus == ("AU01", "AU02", "AU06", "AU12")
    assert values(rows.decisions)["AU12"] == [1, 0, None, None, None, 0, 0]
    assert values(rows.decisions)["AU06"] == [0, 0, 0, None, None, 1, 0]
    assert values(rows.intensities)["AU01"] == [3, 0, 0, None, None, 0, 0]
    assert values(rows.intensities)["AU06"] == [0, 0, 0, None, None, None, 0]
    assert sides(rows)["AU12"][0] == "L"
    assert table.counts.uncertain == 1 and table.counts.uncounted == 1


def test_semicolons_decimal_commas_and_utf16_are_read(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    text = "frame;success;AU12_r;AU12_c\n1;True;2,5;True\n2;True;0,5;False\n"
    path.write_bytes(text.encode("utf-16"))
    rows = all_rows(open_codes(path))
    assert values(rows.intensities) == {"AU12": [2.5, 0.5]}
    assert values(rows.decisions) == {"AU12": [1, 0]}


def test_columns_can_be_named_by_the_user(tmp_path: Path) -> None:
    text = "人,片段,帧,AU12\n李雷,一,3,1\n"
    table = opened(tmp_path, text, columns={"subject": "人", "clip": "片段", "frame": "帧"})
    rows = all_rows(table)
    assert rows.texts["subject"].to_pylist() == ["李雷"] and rows.numbers["frame"].tolist() == [3]
    with pytest.raises(UsageError, match="no column 'x' for frame"):
        opened(tmp_path, text, columns={"frame": "x"})
    with pytest.raises(UsageError, match="no role of a column named 'person'"):
        opened(tmp_path, text, columns={"person": "人"})


def test_rows_below_a_confidence_count_as_not_coded(tmp_path: Path) -> None:
    text = "frame,success,confidence,AU12_c\n1,1,0.9,1\n2,1,0.5,1\n3,0,0.9,1\n"
    table = opened(tmp_path, text, min_confidence=0.7)
    assert values(all_rows(table).decisions) == {"AU12": [1, None, None]}
    assert table.counts.unsure == 1 and table.counts.without_face == 1
    with pytest.raises(UsageError, match="no column of confidence"):
        opened(tmp_path, "frame,AU12_c\n1,1\n", min_confidence=0.7)


@pytest.mark.parametrize(
    ("text", "what", "hint", "line"),
    [
        (
            "subject,frame,AU12\nA,1,1\nA,2,0.4\n",
            "AU12 is 0.4, and neither the name of its column nor the program says on what scale.",
            "--scale probability",
            3,
        ),
        (
            "frame,success,AU12_r\n1,1,233\n",
            "AU12_r is 233, not an intensity from 0 to 5.",
            "LC_ALL=C",
            2,
        ),
        (
            "frame,success,AU12_c\n1,1,100\n",
            "AU12_c is 100, not a decision, 0 or 1.",
            "LC_ALL=C",
            2,
        ),
        (
            "frame,input,AU12\n0,a.mp4,1.7\n",
            "AU12 is 1.7, not a probability from 0 to 1.",
            "AU12_intensity",
            2,
        ),
        ("subject,frame,facs\nA,1,6\nA,2,6+2X\n", "'2X' is not a FACS code.", "12C", 3),
        ("subject,frame,AU12,AU12_side\nA,1,1,left\n", "AU12_side is 'LEFT'", "L or R", 2),
        ("frame,au,value\n1,12,1\n1,12,1\n", "AU12 is listed twice", "remove one", 3),
        ("frame,success,gaze_0_x,pose_Rx\n1,1,0,0\n", "No column holds action units", "-aus", None),
        ("1,2,4,5\n0,0,1,0\n", "No column holds action units", "numbers, not names", None),
        ("0.5,1,1\n0.5,0,1\n", "holds numbers, not the names", "frame,AU01", 1),
        ("frame,0,1,2,3\n1,0,0,0,0\n", "No column holds action units", "do not say which", None),
        ("frame AU12\n1 0\n", "No column holds action units", "not blanks", None),
        ("frame,AU12\n", "names of columns, but no rows", "leave this file out", None),
        ("frame,Smile,Brow Furrow\n1,0,0\n", "No column holds action units", "AFFDEX", None),
        ("frame,AU99\n1,0\n", "No column holds action units", "fauds knows AU01 to AU46", None),
        ("frame,AU12_r\n1,\n2,high\n3,low\n", "Column AU12_r holds texts, but no", "rename", 3),
        ("subject,frame,AU12,au12\nA,1,1,0\n", "both hold AU12", "remove or rename", 1),
        ("subject,frame,AU12,AU12_c\nA,1,1,0\n", "both hold AU12", "remove or rename", 1),
    ],
)
def test_what_is_refused_says_why_where_and_what_to_do(
    tmp_path: Path, text: str, what: str, hint: str, line: int | None
) -> None:
    with pytest.raises((DataError, UsageError)) as caught:
        list(opened(tmp_path, text).rows())
    assert what in caught.value.what and hint in caught.value.hint
    path = tmp_path / "talk.csv"
    assert caught.value.where == (f"{path}:{line}" if line else str(path))
