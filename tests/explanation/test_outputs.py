"""The output files of fauds explain, which other tools can open, also after an interruption."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauds.errors import DataError, UsageError
from fauds.explanation.explained import MediaFrame
from fauds.explanation.outputs import open_output
from fauds.tables import store

from .faces import AUS, FACE, LOCAL, explanation

TEXTS = (*AUS, "face")


def frame_of(number: int, seconds: float) -> MediaFrame:
    return MediaFrame("talk.mp4", number, seconds, 25.0, np.zeros((2, 2, 3), np.uint8))


def rows_of(path: Path) -> int:
    if path.suffix == ".parquet":
        return len(pd.read_parquet(path))
    return len(path.read_text().splitlines()) - (path.suffix == ".csv")


def test_parquet_has_a_row_for_each_face_and_exact_types(tmp_path: Path) -> None:
    path = tmp_path / "new" / "faces.parquet"
    with open_output(path, AUS, TEXTS, weights="vlfau (a run), trained on x") as output:
        output.write([explanation(3, 0, frame=7, timestamp=0.24), explanation(0, 1, box=None)])
        output.skip(frame_of(8, 0.28), "no face was found")
    table = pd.read_parquet(path)
    types = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert types == {
        "source": "string",
        "frame": "int32",
        "timestamp": "double",
        "timing": "string",
        "face": "int32",
        **dict.fromkeys(("left", "top", "right", "bottom"), "float"),
        "estimated": "bool",
        "detector": "string",
        **dict.fromkeys(AUS, "float"),
        **{f"{au}_text": "string" for au in AUS},
        "face_text": "string",
        "weights": "string",
    }
    assert table["frame"].tolist() == [7, 1] and table["face"].tolist() == [0, 1]
    first, second = table.to_dict("records")
    assert (first["left"], first["bottom"]) == (10.25, 140.75) and np.isnan(second["left"])
    assert first["timestamp"] == 0.24 and np.isnan(second["timestamp"])
    assert first["AU01"] == np.float32(0.9) and first["AU01_text"] == LOCAL["AU01"]
    assert first["face_text"] == FACE
    assert first["detector"] == "cascade 1 (ab)"
    assert len(store.read_table(path)) == 2
    assert first["weights"] == "vlfau (a run), trained on x"
    assert store.read_meta(path)["settings"]["weights"] == "vlfau (a run), trained on x"


def test_parquet_of_a_long_video_has_bounded_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "faces.parquet"
    one = explanation()
    with open_output(path, AUS) as output:
        for _ in range(25):
            output.write([one] * 1000)
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert sizes == [10_000, 10_000, 5_000]
    names = file.schema_arrow.names
    assert set(AUS) <= set(names) and [name for name in names if "text" in name] == []
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_json_lines_have_one_line_for_each_face(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    with open_output(path, AUS, TEXTS) as output:
        output.write([explanation(2, 0, frame=7, timestamp=0.24), explanation(0, 1, box=None)])
        output.skip(frame_of(8, 0.28), "no face was found")
    first, second = map(json.loads, path.read_text().splitlines())
    assert list(first) == [
        *("source", "frame", "timestamp", "timing", "face", "box", "estimated", "detector"),
        *("aus", "active", "local", "global", "weights"),
    ]
    assert (first["frame"], first["timestamp"], first["face"]) == (7, 0.24, 0)
    assert first["box"] == [10.25, 20.5, 110, 140.75] and second["box"] is None
    assert first["aus"]["AU02"] == 0.89 and first["active"] == ["AU01", "AU02"]
    assert first["local"] == LOCAL and first["global"] == FACE and second["active"] == []
    assert second["timestamp"] is None
    assert first["detector"] == "cascade 1 (ab)"


def test_csv_has_the_columns_of_openface(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    with open_output(path, AUS, TEXTS, weights="vlfau (a run), trained on x") as output:
        output.write([explanation(2, 0, frame=7, timestamp=0.24)])
        output.skip(frame_of(8, 0.28), "no face was found")
        output.write([explanation(1, 0, frame=9)])
    table = pd.read_csv(path)
    assert list(table.columns) == [
        *("frame", "face_id", "timestamp", "confidence", "success"),
        *(f"{au}_c" for au in AUS),
        *(f"{au}_p" for au in AUS),
        *("timing", "left", "top", "right", "bottom"),
        *(f"{au}_text" for au in AUS),
        *("face_text", "weights"),
    ]
    assert table["face_text"].tolist()[::2] == [FACE, FACE] and pd.isna(table["face_text"][1])
    assert table["AU02_text"][0] == LOCAL["AU02"]
    assert set(table["weights"]) == {"vlfau (a run), trained on x"}
    assert table["frame"].tolist() == [7, 8, 9] and table["success"].tolist() == [1, 0, 1]
    assert table["AU02_c"].tolist() == [1, 0, 0] and table["AU02_p"].tolist() == [0.89, 0, 0.1]
    assert table["timestamp"].tolist()[:2] == [0.24, 0.28] and np.isnan(table["timestamp"][2])
    assert table["AU01_c"].dtype == np.int64
    with open_output(tmp_path / "plain.csv", AUS) as output:
        output.write([explanation(2, 0)])
    assert " " not in (tmp_path / "plain.csv").read_text()


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)


@settings(max_examples=40)
@given(st.lists(NAMES, max_size=4))
def test_any_file_name_can_be_written_to_csv_and_json(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    for suffix in (".csv", ".jsonl"):
        with open_output(folder / f"out{suffix}", AUS, several=True) as output:
            output.write([explanation(source=name) for name in names])
    text = (folder / "out.csv").read_bytes().decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0][0] == "source" and [row[0] for row in rows[1:]] == names
    lines = (folder / "out.jsonl").read_bytes().decode().split("\n")[:-1]
    assert [json.loads(line)["source"] for line in lines] == names


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_file_names_that_are_not_one_line_of_utf8_are_escaped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces{suffix}"
    with open_output(path, AUS, TEXTS, several=True) as output:
        output.write([explanation(source="caf\udce9.png"), explanation(source="a\rb\nc.png")])
    read = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".jsonl": lambda path: pd.read_json(path, lines=True),
    }
    names = read[suffix](path)["source"].tolist()
    assert names == [r"caf\udce9.png", r"a\rb\nc.png"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_faces_written_before_ctrl_c_are_kept(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / f"faces{suffix}"
    path.write_text("from an earlier run")
    with pytest.raises(KeyboardInterrupt), open_output(path, AUS, TEXTS) as output:
        output.write([explanation(frame=frame + 1) for frame in range(37)])
        raise KeyboardInterrupt
    part = tmp_path / f"faces.part{suffix}"
    assert rows_of(part) == 37 and path.read_text() == "from an earlier run"
    assert str(part) in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == sorted([path, part])
    new = tmp_path / "new"
    new.touch()
    assert part.stat().st_mode == new.stat().st_mode


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_an_error_before_the_first_face_leaves_no_file(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture
) -> None:
    with (
        pytest.raises(DataError, match="no face"),
        open_output(tmp_path / f"faces{suffix}", AUS, TEXTS),
    ):
        raise DataError("There is no face.")
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_without_faces_the_table_is_empty(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces{suffix}"
    output = open_output(path, AUS, TEXTS)
    output.close()
    assert rows_of(path) == 0


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".eaf", ".TextGrid"])
def test_the_events_of_a_video_name_the_weights(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"talk{suffix}"
    with open_output(path, AUS, TEXTS, weights="vlfau (a run), trained on x") as output:
        for frame in range(1, 31):
            active = 2 if 11 <= frame <= 20 else 0
            time = (frame - 1) / 10
            output.write([explanation(active, 0, frame=frame, timestamp=time),
                          explanation(5, 1, frame=frame, timestamp=time)])  # fmt: skip
        output.skip(frame_of(31, 3.0), "no face was found")
    text = path.read_text(encoding="utf-8")
    assert "vlfau (a run), trained on x" in text
    assert "brow is pulled up from end to end" in text, "AU01 and AU02 of the largest face"
    if suffix == ".srt":
        assert text.startswith("1\n00:00:01,000 --> 00:00:02,000\n")
    with pytest.raises(UsageError, match="There are several files"):
        open_output(path, AUS, TEXTS, several=True)
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(tmp_path / f"{{clip}}{suffix}", AUS, TEXTS, several=True),
    ):
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("name", ["faces", "faces.xlsx", ".csv"])
def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as error:
        open_output(tmp_path / name, AUS, TEXTS)
    assert ".parquet, .jsonl, .csv" in error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        open_output(tmp_path / "file" / f"faces{suffix}", AUS, TEXTS)
