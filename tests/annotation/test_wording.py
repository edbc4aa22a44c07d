"""The words of sides, of order in time and of summaries, in every language that fauds ships."""

import re
from pathlib import Path
from shutil import copytree

import pytest

import fauds
from fauds import resources
from fauds.annotation.wording import Wording
from fauds.captions import languages, template_hash
from fauds.errors import DataError
from fauds.facs import AUS, SIDES, facts


@pytest.mark.parametrize(
    ("language", "aus", "sex", "sides", "text"),
    [
        ("en", ["AU12"], "F", {"AU12": "L"}, r".* on her left\."),
        ("en", ["AU12"], "M", {"AU12": "R"}, r".* on his right\."),
        ("en", ["AU12"], None, {"AU12": "U"}, r".* on one side\."),
        ("en", ["AU14"], "M", {"AU14": "B"}, r".* on both sides\."),
        ("en", ["AU01", "AU12"], "F", {"AU12": "L"}, r"[^.]*brow[^.]*\. Her .* on her left\."),
        ("zh", ["AU12"], "F", {"AU12": "L"}, r".*（她的左侧）。"),
        ("zh", ["AU01", "AU12"], None, {"AU12": "R"}, r".*。此人.*（此人的右侧）。"),
    ],
)  # fmt: skip
def test_sides_are_the_persons_own(
    language: str, aus: list[str], sex: str | None, sides: dict[str, str], text: str
) -> None:
    assert re.fullmatch(text, Wording(language).face(aus, sex, sides))


@pytest.mark.parametrize("language", languages())
def test_without_sides_texts_are_those_of_the_captions(language: str) -> None:
    wording = Wording(language, degrees=True)
    for aus in ([], ["AU12"], ["AU01", "AU04", "AU06", "AU12", "AU17", "AU25"]):
        expected = fauds.describe(dict.fromkeys(aus, 1), "F", language)
        assert wording.face(aus, "F") == expected.face
    assert (
        wording.local("AU12", 3) == fauds.describe({"AU12": "C"}, language=language).local["AU12"]
    )
    assert wording.local("AU12") == fauds.describe({"AU12": 1}, language=language).local["AU12"]
    plain = Wording(language)
    assert plain.local("AU12", 3) == plain.local("AU12")


@pytest.mark.parametrize("language", languages())
def test_every_side_is_said_of_a_face_and_of_an_au(language: str) -> None:
    wording = Wording(language)
    faces = {wording.face(["AU12"], "F", {"AU12": side}) for side in SIDES}
    local = {wording.local("AU12", None, side, "F") for side in SIDES}
    assert len(faces) == len(local) == len(SIDES)
    assert all(wording.local("AU12") in text for text in local)


def test_who_came_first_is_said_only_from_a_distance_on() -> None:
    english, chinese = Wording("en"), Wording("zh")
    aus, onsets = ["AU12", "AU06", "AU25"], [1.0, 1.1, 2.4]
    assert english.order(aus, onsets, 0.2) == "AU06 and AU12 began first, AU25 1.4 s later."
    assert chinese.order(aus, onsets, 0.2) == "AU06和AU12最先出现，AU25晚1.4秒。"
    assert english.order(aus[:2], onsets[:2], 0.2) == ""
    assert english.order(aus[:2], onsets[:2], 0.05) == "AU12 began first, AU06 0.1 s later."


def test_aus_are_named_as_in_facs() -> None:
    wording = Wording("en")
    for au in AUS:
        assert wording.named(au) == f"{au} ({facts()[au]['name'].lower()})"
    assert Wording("zh").named("AU12") == "AU12（嘴角上扬）"


def test_a_language_without_these_words_says_what_to_write(tmp_path: Path) -> None:
    copytree(resources.root("templates") / "en", tmp_path / "de")
    assert Wording("de", templates=tmp_path).named("AU12") == "AU12 (lip corner puller)"
    before = template_hash("de", tmp_path)
    (tmp_path / "de" / "annotation.yaml").unlink()
    assert template_hash("de", tmp_path) == before, "captions do not depend on these words"
    wording = Wording("de", templates=tmp_path)
    assert wording.face(["AU12"])
    with pytest.raises(DataError, match=r"has no annotation\.yaml") as caught:
        wording.face(["AU12"], None, {"AU12": "L"})
    assert "templates/en/annotation.yaml" in caught.value.hint
    (tmp_path / "de" / "annotation.yaml").write_text("sides: {L: links}\n")
    with pytest.raises(DataError, match="needs a text sides: R"):
        Wording("de", templates=tmp_path).face(["AU12"], None, {"AU12": "L"})
