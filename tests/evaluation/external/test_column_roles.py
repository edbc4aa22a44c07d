"""Recognising the columns of external prediction files, and reading their values."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.evaluation.external.column_roles import Sheet, classify, numbers, open_sheet, strings
from fauds.facs import AUS as EVERY_AU
from fauds.tables.delimited import ColumnFile
from tests.evaluation.external.helpers import AUS, write

KEYS = {"key", "subject", "task", "input", "frame", "frame_id", "fold", "success"}
KEYS |= {"benchmark_version"}
"""Columns that name a frame or its fold, and have no scores."""


def sheet_of(*columns: str, names: tuple[str, ...] = ()) -> Sheet:
    """Return a sheet with these columns, whose values are not read."""
    return Sheet(ColumnFile(Path("mine.csv"), columns), None, names)


def test_columns_are_recognised_by_their_names() -> None:
    sheet = sheet_of("subject", "frame", "fold", "AU01", "AU12_r", "AU45", "gaze_0_x", "AU12_c")
    roles = classify(sheet, AUS)
    assert roles.occurrence == {"AU01": "AU01", "AU12": "AU12_c"}
    assert roles.intensities == {"AU12": "AU12_r"}
    assert roles.foreign == ["AU45"]
    assert roles.others == ["gaze_0_x"]


@pytest.mark.parametrize(
    ("name", "intensity"),
    [
        *((name, False) for name in ("AU01", "au1", "AU1", "AU_01", "AU 1", "1", "01", "AU01_c")),
        *((name, True) for name in ("AU01_r", "au1_R", "AU01_intensity", "au01_INTENSITY")),
    ],
)
def test_all_spellings_of_an_action_unit_are_recognised(name: str, intensity: bool) -> None:
    roles = classify(sheet_of(name), AUS)
    assert roles.intensities == ({"AU01": name} if intensity else {})
    assert roles.occurrence == ({} if intensity else {"AU01": name})


@pytest.mark.parametrize("name", ["AU99", "AU03", "AU01_x", "AU", "12.5", "confidence", "AU001x"])
def test_other_names_are_not_mistaken_for_action_units(name: str) -> None:
    roles = classify(sheet_of(name), AUS)
    assert (roles.others, roles.foreign, roles.occurrence) == ([name], [], {})


def test_names_of_the_target_take_precedence_over_action_units() -> None:
    roles = classify(sheet_of("glad", "12", "calm", "AU12"), ("calm", "glad", "12"))
    assert roles.occurrence == {"glad": "glad", "12": "12", "calm": "calm"}
    assert roles.foreign == ["AU12"]


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("AU01", "au1"), True),
        (("AU01_c", "AU01"), True),
        (("AU01_r", "AU01_intensity"), True),
        (("AU01_c", "AU01_r"), False),
        (("AU45", "AU45_c"), False),
    ],
)
def test_two_columns_with_the_same_role_for_an_action_unit_are_refused(
    names: tuple[str, str], refused: bool
) -> None:
    if not refused:
        classify(sheet_of(*names), AUS)
        return
    with pytest.raises(DataError) as caught:
        classify(sheet_of(*names), AUS)
    assert caught.value.what == f"The columns {names[0]} and {names[1]} both hold AU01."
    assert caught.value.where == "mine.csv:1"


@given(
    st.lists(
        st.sampled_from([*EVERY_AU, *sorted(KEYS)])
        | st.text(st.characters(codec="utf-8"), max_size=8),
        unique_by=lambda name: name.casefold(),
    )
)
def test_every_column_has_one_role(columns: list[str]) -> None:
    try:
        roles = classify(sheet_of(*columns), AUS)
    except DataError as error:
        assert " both hold AU" in error.what
        return
    placed = [*roles.occurrence.values(), *roles.intensities.values(), *roles.foreign]
    placed += [*roles.others, *(name for name in columns if name in KEYS)]
    assert sorted(placed) == sorted(columns)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_recognised_columns_are_read_and_others_are_not(tmp_path: Path, suffix: str) -> None:
    path = write(
        tmp_path / f"mine.{suffix}",
        {
            "subject": [" F001 ", None, "M002"],
            "frame": [1, 2, None],
            "AU01": [0.5, None, 1],
            "glad": [0, 0.5, 1],
            "emotion": ["happy", "sad", "cross"],
            "AU45_r": [1.5, 2, 3],
        },
    )
    sheet = open_sheet(path, ("glad",))
    assert sheet.table.column_names == ["subject", "frame", "AU01", "glad", "AU45_r"]
    assert strings(sheet, "subject").tolist() == ["F001", "", "M002"]
    assert numbers(sheet, "frame").tolist()[:2] == [1, 2] and np.isnan(numbers(sheet, "frame")[2])
    assert np.array_equal(numbers(sheet, "AU01"), [0.5, np.nan, 1], equal_nan=True)
    assert numbers(sheet, "glad").tolist() == [0, 0.5, 1]


def test_blanks_around_column_names_are_ignored_as_openface_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "SN001.csv"
    path.write_text("frame, success, AU01_c, AU01_r\n1, 1, 0.00, 0.37\n")
    sheet = open_sheet(path)
    assert sheet.columns == ("frame", "success", "AU01_c", "AU01_r")
    assert numbers(sheet, "AU01_r").tolist() == [0.37]


def test_text_in_a_numeric_column_is_an_error_that_gives_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("subject,frame,AU01,comment\nF001,1,0.5,fine\nF001,2,high,odd\n")
    sheet = open_sheet(path)
    with pytest.raises(DataError, match="Column AU01 holds 'high', not a number") as caught:
        numbers(sheet, "AU01")
    assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize(
    ("metadata", "made_by"),
    [
        ({"settings": {"benchmark": "bp4d", "benchmark_version": 2}}, ("bp4d", 2)),
        ({"settings": {"benchmark": "bp4d", "benchmark_version": "two"}}, None),
        ({"settings": {"benchmark": "bp4d"}}, None),
        ({"settings": 5}, None),
        ([], None),
        ("not json", None),
    ],
)
def test_the_benchmark_that_a_file_was_written_for_is_read(
    tmp_path: Path, metadata: object, made_by: tuple[str, int] | None
) -> None:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    path = write(tmp_path / "mine.parquet", {"frame": [1]}, {"fauds": text})
    assert open_sheet(path).made_by == made_by


def test_files_of_other_programs_name_no_benchmark(tmp_path: Path) -> None:
    assert (
        open_sheet(write(tmp_path / "a.parquet", {"frame": [1]}, {"pandas": "{}"})).made_by is None
    )
    assert open_sheet(write(tmp_path / "a.csv", {"frame": [1]})).made_by is None
