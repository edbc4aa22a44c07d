"""The three lengths of a face's description, FACS strings, and words of certainty."""

import pytest

from fauds.captions import (
    describe_codes,
    describe_probabilities,
    parse,
)
from fauds.errors import UsageError

CODES = {1: "C", 2: "C", 4: 0, 6: 1, 12: "D", 25: None}


def test_one_record_has_three_lengths() -> None:
    made = describe_codes(CODES, "F")
    assert made.facs == "1C+2C+6+12D"
    assert made.sentence.count(".") == 1 and made.sentence.endswith(".")
    for text in (made.face, made.sentence, made.report.splitlines()[0]):
        read = parse(text)
        assert read.active == ("AU01", "AU02", "AU06", "AU12") and not read.unknown
        assert dict(read.degrees) == {"AU01": "C", "AU02": "C", "AU12": "D"}
    first, *lines = made.report.splitlines()
    assert all(f"({code})" in first for code in ("1C", "2C", "6", "12D"))
    assert [line.rsplit(" (", 1)[1] for line in lines[:4]] == ["1C)", "2C)", "6)", "12D)"]
    assert lines[3].startswith(made.local["AU12"])
    assert lines[4] == "Coded and not seen: 4"
    assert lines[5].startswith("Not coded: 5+7+9") and lines[5].endswith("+46")


def test_lengths_exist_in_chinese() -> None:
    made = describe_codes(CODES, "F", "zh")
    assert made.sentence.count("。") == 1
    assert parse(made.report.splitlines()[0], "zh").degrees == parse(made.face, "zh").degrees
    assert "（12D）" in made.report and "已编码而未见：4" in made.report


def test_a_face_without_active_aus_has_all_lengths() -> None:
    made = describe_codes({12: 0, 25: 0})
    assert made.facs == "0" and made.sentence == made.face
    assert parse(made.sentence).none
    assert made.report.splitlines()[1] == "Coded and not seen: 12+25"
    assert describe_codes({}).report == describe_codes({}).face


def test_predictions_are_told_with_words_of_certainty() -> None:
    probabilities = {6: 0.97, 7: 0.85, 25: 0.6, 26: 0.45, 12: 1.0, 4: 0.2, 15: 0.39}
    made = describe_probabilities(probabilities, "F")
    assert made.face == (
        "A woman's cheek is raised and her lip corner is pulled back and up, on one side or both. "
        "Very probably her eyelids are tightened, on one side or both. "
        "Probably her lips are parted. It cannot be decided whether her jaw is dropped."
    )
    assert made.active == ("AU06", "AU07", "AU12", "AU25") and made.facs == "6+7+12+25"
    assert made.sentence.count(".") == 1 and "; probably her lips are parted; " in made.sentence
    # What cannot be decided is not asserted, and what is probable is.
    assert parse(made.face).active == ("AU06", "AU07", "AU12", "AU25")
    assert made.report.splitlines()[-2] == "Coded and not seen: 4+15"
    assert "(26)" in made.report and "(4)" not in made.report
    assert len(made.report.splitlines()) == 1 + 2 + 2


def test_a_face_of_which_nothing_is_certain_begins_with_a_guess() -> None:
    assert describe_probabilities({25: 0.7}).face == "Probably a person's lips are parted."
    assert describe_probabilities({25: 0.45, 26: 0.5}, language="zh").face == (
        "不能确定一个人的下颌松垂且嘴唇分开。"
    )
    none = describe_probabilities({25: 0.1})
    assert parse(none.face).none and none.facs == "0"


@pytest.mark.parametrize("probabilities", [{12: 1.2}, {12: -0.1}, {12: float("nan")}])
def test_numbers_that_are_no_probabilities_are_errors(probabilities: dict[int, float]) -> None:
    with pytest.raises(UsageError, match="probability of AU12"):
        describe_probabilities(probabilities)


def test_an_au_given_twice_is_an_error() -> None:
    with pytest.raises(UsageError, match="more than once"):
        describe_probabilities({12: 0.5, "AU12": 0.5})
