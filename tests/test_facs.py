"""Action units: names, and facts checked against published tables and synthetic faces."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fauds import resources
from fauds.errors import UsageError
from fauds.facs import (
    AUS,
    INTENSITIES,
    MIRRORED_POINTS,
    MOST_BESIDE,
    SIDES,
    UNCOUNTED,
    Ellipse,
    FacsCode,
    anchors,
    au_name,
    au_number,
    beside,
    ellipses,
    expression_aus,
    facts,
    format_codes,
    moves,
    opposed,
    opposites,
    parse_codes,
)
from fauds.synthetic import face

REGIONS = {"brows", "eyes", "cheeks", "nose", "mouth", "chin", "jaw"}
FIELDS = {
    *("name", "muscles", "region", "changes", "grows", "confused_with"),
    *("moves", "may_move", "beside", "landmarks", "ellipses"),
}

# Ekman and Friesen (1978) as tabulated by Cohn, Ambadar and Ekman (2007), with the names of the
# 2002 manual (AU06, AU11, AU13, AU18, AU43) and current names of muscles: procerus for depressor
# glabellae, levator anguli oris for caninus, depressor anguli oris for triangularis. Two entries
# are more exact: all three jaw closers relax in AU26, and only the lateral pterygoid opens the jaw
# in AU27. A muscle after "-" relaxes.
TABLE = {
    1: ("Inner brow raiser", "frontalis pars medialis"),
    2: ("Outer brow raiser", "frontalis pars lateralis"),
    4: ("Brow lowerer", "procerus, depressor supercilii, corrugator supercilii"),
    5: ("Upper lid raiser", "levator palpebrae superioris"),
    6: ("Cheek raiser and lid compressor", "orbicularis oculi pars orbitalis"),
    7: ("Lid tightener", "orbicularis oculi pars palpebralis"),
    9: ("Nose wrinkler", "levator labii superioris alaeque nasi"),
    10: ("Upper lip raiser", "levator labii superioris"),
    11: ("Nasolabial furrow deepener", "zygomaticus minor"),
    12: ("Lip corner puller", "zygomaticus major"),
    13: ("Sharp lip puller", "levator anguli oris"),
    14: ("Dimpler", "buccinator"),
    15: ("Lip corner depressor", "depressor anguli oris"),
    16: ("Lower lip depressor", "depressor labii inferioris"),
    17: ("Chin raiser", "mentalis"),
    18: ("Lip pucker", "incisivus labii superioris, incisivus labii inferioris"),
    20: ("Lip stretcher", "risorius, platysma"),
    22: ("Lip funneler", "orbicularis oris"),
    23: ("Lip tightener", "orbicularis oris"),
    24: ("Lip pressor", "orbicularis oris"),
    25: ("Lips part", "depressor labii inferioris, -mentalis, -orbicularis oris"),
    26: ("Jaw drop", "-masseter, -temporalis, -pterygoideus medialis"),
    27: ("Mouth stretch", "pterygoideus lateralis, digastricus"),
    28: ("Lip suck", "orbicularis oris"),
    43: ("Eye closure", "-levator palpebrae superioris"),
    45: ("Blink", "-levator palpebrae superioris, orbicularis oculi pars palpebralis"),
    46: ("Wink", "orbicularis oculi"),
}

# The landmarks by which Belharbi et al. (2024) place regions, on both sides of the face.
PLACED = {
    **{1: {20, 23}, 2: {18, 25}, 4: {19, 24}, 6: {41, 46}, 9: {31, 35, 29}},
    **{10: {48, 50, 52, 54}, 12: {48, 54}, 14: {48, 54}, 15: {48, 54}, 16: {59, 55}},
    **{17: {55, 59, 8}, 20: {48, 54, 6, 10}, 25: {51, 57}},
    **{number: {48, 51, 54, 57} for number in (23, 24, 26, 27)},
}
EYES = set(range(36, 48))

# FACS describes movements and not their meaning.
FEELINGS = re.compile(
    r"\b(?:emotion|feel|mood|happ|joy|glad|sad|sorrow|grie[fv]|ang(?:er|ry)|rage|fear|afraid|scare"
    r"|surpris|astonish|disgust|contempt|pain|worr|smil|smirk|grin|frown|scowl|pout|sneer|laugh)",
    re.IGNORECASE,
)

# The landmark that each landmark corresponds to in a mirrored face.
MIRROR = {
    **{k: 16 - k for k in range(17)},
    **{k: 43 - k for k in range(17, 27)},
    **{k: k for k in range(27, 31)},
    **{k: 66 - k for k in range(31, 36)},
    **dict(zip(range(36, 48), (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40), strict=True)),
    **{k: 102 - k for k in range(48, 55)},
    **{k: 114 - k for k in range(55, 60)},
    **{k: 124 - k for k in range(60, 65)},
    **{k: 132 - k for k in range(65, 68)},
}


@given(st.sampled_from(AUS), st.sampled_from(["{}", "AU{}", "au{}", "AU_{}", "AU{}_r", " AU {} "]))
def test_common_spellings_become_the_canonical_name(name, form):
    number = int(name[2:])
    assert au_name(form.format(number)) == name
    assert au_name(form.format(f"{number:02d}")) == name
    assert au_number(name) == number


@pytest.mark.parametrize("spelling", ["AU03", "AU99", "", "smile", "12.5", "AU", 0])
def test_other_spellings_are_errors_that_list_the_known_names(spelling):
    with pytest.raises(UsageError, match="AU01"):
        au_name(spelling)


def test_facts_are_complete_and_in_facs_order():
    assert tuple(facts()) == AUS
    for au, fact in facts().items():
        assert set(fact) == FIELDS, au
        assert fact["region"] in REGIONS, au
        assert fact["muscles"] and fact["changes"] and fact["grows"] and fact["landmarks"], au


def test_names_and_muscles_are_those_of_the_published_table():
    names_and_muscles = {
        au_number(au): (
            fact["name"],
            {re.sub(r"(.*) \(relaxed\)", r"-\1", muscle) for muscle in fact["muscles"]},
        )
        for au, fact in facts().items()
    }
    assert names_and_muscles == {
        n: (name, set(muscles.split(", "))) for n, (name, muscles) in TABLE.items()
    }


def test_movements_have_known_directions_and_none_is_both_sure_and_possible():
    directions = {"up", "down", "in", "back", "tight", "taller", "narrower", "wider", "apart"}
    directions |= {"together", "longer", "shorter", "inwards", "outwards", "forwards"}
    assert {direction for pair in opposites() for direction in pair} <= directions
    for au in AUS:
        sure = moves(au, surely=True)
        assert {direction for _, direction in moves(au)} <= directions, au
        assert moves(au), au
        assert not sure & {
            (part, one)
            for part, listed in facts()[au]["may_move"].items()
            for one in ([listed] if isinstance(listed, str) else listed)
        }, au
        assert not opposed(au, au), au


def test_antagonists_of_facs_are_opposed_and_helpers_are_not():
    assert opposed("AU12", "AU15") == opposed("AU15", "AU12") == ("lip corner",)
    assert opposed("AU01", "AU04") == ("inner brow",) and opposed("AU02", "AU04") == ("outer brow",)
    assert "upper lid" in opposed("AU05", "AU43") and "lips" in opposed("AU24", "AU25")
    assert "lower lip" in opposed("AU16", "AU17")
    for au, other in (("AU06", "AU12"), ("AU01", "AU02"), ("AU15", "AU17"), ("AU25", "AU26")):
        assert opposed(au, other) == ()


def test_neighbours_are_other_aus_and_at_most_four_that_are_coded():
    for au in AUS:
        listed = facts()[au]["beside"]
        assert set(listed) <= set(AUS) - {au} and len(set(listed)) == len(listed), au
        assert set(beside(au, AUS)) == set(listed[:MOST_BESIDE]), au
        assert list(beside(au, AUS)) == sorted(beside(au, AUS)), au
    assert beside("AU12", ["AU06", "AU12", "AU25"]) == ("AU06", "AU25")
    assert beside("AU12", ["AU12"]) == ()


def texts() -> Iterator[tuple[str, str]]:
    """Yield all texts about action units, each with its action unit."""
    for au, fact in facts().items():
        by_part = (fact["changes"], fact["confused_with"])
        for text in (fact["name"], fact["grows"], *(t for part in by_part for t in part.values())):
            yield au, text


def test_texts_are_clauses_about_movement():
    for au, text in texts():
        assert text == text.strip() and not text.endswith((".", ";", ",")), (au, text)
        assert not FEELINGS.search(text), (au, text)


def test_the_pattern_matches_words_for_feelings():
    for words in ("an angry look", "Sadness", "fearful", "a smile", "pain"):
        assert FEELINGS.search(words), words


def test_confused_action_units_are_known_and_mostly_mutual():
    others = {au: fact["confused_with"] for au, fact in facts().items()}
    for au, similar in others.items():
        assert 1 <= len(similar) <= 4 and au not in similar and set(similar) <= set(AUS), au
        assert list(similar) == sorted(similar), au
        # An action unit lists four others at most, and so may lack one that lists it.
        for other in similar:
            assert au in others[other] or len(others[other]) == 4, au


def test_sources_are_full_references():
    with resources.path("templates", "facs.yaml").open(encoding="utf-8") as file:
        sources = yaml.safe_load(file)["sources"]
    assert set(sources) == {"facs", "muscles", "anatomy", "points", "anchors"}
    for source in sources.values():
        assert re.search(r"\(\d{4}\), ", source), source


def test_mirroring_exchanges_left_and_right_landmarks():
    assert tuple(MIRROR[point] for point in range(68)) == MIRRORED_POINTS
    assert [MIRRORED_POINTS[point] for point in MIRRORED_POINTS] == list(range(68))
    # Points on the midline (chin, nose, middle of the lips) stay; all others change sides.
    stay = [point for point in range(68) if MIRRORED_POINTS[point] == point]
    assert stay == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


@pytest.mark.parametrize("au", AUS)
def test_anchors_are_landmarks_and_symmetric(au):
    landmarks = facts()[au]["landmarks"]
    assert landmarks
    for anchor in landmarks:
        assert anchor and set(anchor) <= set(MIRROR)
    mirrored = [sorted(MIRROR[point] for point in anchor) for anchor in landmarks]
    assert sorted(mirrored) == sorted(sorted(anchor) for anchor in landmarks)


def neutral_face(seed: int) -> np.ndarray:
    """Return the landmarks of a synthetic neutral face that looks straight ahead."""
    identity = face.draw_identity(np.random.default_rng(seed))
    return face.face_landmarks(identity, np.zeros(len(face.FACE_AUS)), face.View(noise=0.0))


def is_within(anchor: np.ndarray, points: np.ndarray, margin: float = 0.0) -> bool:
    """Return whether an anchor is in the box around points, enlarged by a margin on all sides."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    return bool(((low <= anchor) & (anchor <= high)).all())


def lies_in(region: str, at: np.ndarray, m: np.ndarray) -> bool:
    """Return whether an anchor is in a region of the face with landmarks m; y points down."""
    (x, y), (mouth, width) = at, (m[48:68], m[54, 0] - m[48, 0])
    beside_nose = x < m[31, 0] or x > m[35, 0]
    below_lip = m[57, 1] < y <= m[8, 1] and m[7, 0] < x < m[9, 0]
    match region:
        case "brows":
            return y < m[[37, 38, 43, 44], 1].min() and m[17, 0] <= x <= m[26, 0]
        case "eyes":
            return is_within(at, m[36:42]) or is_within(at, m[42:48])
        case "cheeks":
            return m[[40, 41, 46, 47], 1].max() < y < m[48, 1] and beside_nose
        case "nose":
            return m[27, 1] < y < m[33, 1] and m[31, 0] < x < m[35, 0]
        case "mouth":
            return is_within(at, mouth, width / 3) and y > m[33, 1]
        case "chin":
            return below_lip
        case _:
            return is_within(at, mouth) or below_lip


@pytest.mark.parametrize("seed", range(6))
def test_anchors_of_a_neutral_face_are_in_their_region(seed):
    points = neutral_face(seed)
    for au, fact in facts().items():
        for at in anchors(au, points):
            assert lies_in(fact["region"], at, points), (au, at)


def test_jaw_units_have_an_anchor_below_the_lower_lip():
    points = neutral_face(0)
    for au in ("AU26", "AU27"):
        assert anchors(au, points)[:, 1].max() > points[57, 1], au


@pytest.mark.parametrize("number", PLACED)
def test_ellipses_lie_at_the_published_landmarks(number):
    used = {point for ellipse in ellipses(str(number)) for point in (*ellipse.x, *ellipse.y)}
    assert used == PLACED[number]


@pytest.mark.parametrize("au", ["AU05", "AU07", "AU43", "AU45", "AU46"])
def test_ellipses_of_the_lids_lie_over_both_eyes(au):
    left, right = ellipses(au)
    assert {*left.x, *left.y} | {*right.x, *right.y} == EYES
    assert {*left.x, *left.y} <= set(range(36, 42))


@pytest.mark.parametrize("au", AUS)
def test_ellipses_are_symmetric_and_have_an_area(au):
    def mirror(ellipse: Ellipse) -> Ellipse:
        across, down = ellipse.shift
        x, y = (tuple(sorted(MIRROR[point] for point in of)) for of in (ellipse.x, ellipse.y))
        return Ellipse(x, y, (-across, down), ellipse.axes)

    both = ellipses(au)
    assert len(both) == len(set(both))
    assert {mirror(ellipse) for ellipse in both} == set(both)
    for ellipse in both:
        for points, more in zip((ellipse.x, ellipse.y), ellipse.axes, strict=True):
            # The extent of several landmarks may be 0, as that of lips that are pressed together.
            assert set(points) <= set(MIRROR)
            assert more > 0 or (more == 0 and len(points) > 1)


@pytest.mark.parametrize("seed", range(6))
def test_ellipses_of_a_neutral_face_are_in_their_region(seed):
    points = neutral_face(seed)
    unit = np.array([points[45, 0] - points[36, 0], points[33, 1] - points[27, 1]])
    for au, fact in facts().items():
        for ellipse in ellipses(au):
            x, y = points[list(ellipse.x), 0], points[list(ellipse.y), 1]
            middle = np.array([x.min() + x.max(), y.min() + y.max()]) / 2
            assert lies_in(fact["region"], middle + unit * ellipse.shift, points), (au, ellipse)


def test_an_unknown_action_unit_has_no_ellipses():
    with pytest.raises(UsageError, match="AU01"):
        ellipses("AU03")


def test_a_landmark_that_is_listed_twice_has_twice_the_weight():
    points = np.zeros((68, 2))
    points[41], points[48] = (3.0, 0.0), (0.0, 6.0)
    assert anchors(6, points)[0].tolist() == [2.0, 2.0]


# Figure 2 of arXiv 2402.00281, by AU number.
CODEBOOK = {
    "happiness": {6, 12, 25},
    "surprise": {1, 2, 5, 26, 27},
    "fear": {1, 2, 4, 5, 20, 25, 26, 27},
    "anger": {4, 5, 7, 10, 17, 23, 24, 25, 26},
    "disgust": {9, 10, 16, 17, 25, 26},
    "sadness": {1, 4, 6, 15, 17},
}


def test_the_codebook_of_expressions_is_that_of_the_paper():
    codebook = {name: {*map(au_number, aus)} for name, aus in expression_aus().items()}
    assert codebook == CODEBOOK
    for aus in expression_aus().values():
        assert list(aus) == sorted(aus, key=AUS.index)


CODES = st.builds(
    FacsCode,
    st.sampled_from([None, *INTENSITIES]),
    st.sampled_from([None, *SIDES]),
    st.booleans(),
)
NAMES = st.sampled_from([*AUS, *(f"AU{number:02d}" for number in sorted(UNCOUNTED)), "M59"])


@given(st.dictionaries(NAMES, CODES))
def test_codes_that_are_written_in_facs_notation_are_read_back(codes: dict[str, FacsCode]) -> None:
    text = format_codes(codes)
    assert parse_codes(text) == codes
    assert parse_codes(text.lower().replace("+", ", ")) == codes
    assert parse_codes(" " + re.sub(r"(\d+)", r"AU\1", text) + " ") == codes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1C+2C+L12B+R14A+25",
            {
                "AU01": FacsCode("C"),
                "AU02": FacsCode("C"),
                "AU12": FacsCode("B", "L"),
                "AU14": FacsCode("A", "R"),
                "AU25": FacsCode(),
            },
        ),
        ("6+12D", {"AU06": FacsCode(), "AU12": FacsCode("D")}),
        ("AU12", {"AU12": FacsCode()}),
        ("AU 12 AU 6", {"AU06": FacsCode(), "AU12": FacsCode()}),
        ("12?", {"AU12": FacsCode(uncertain=True)}),
        ("U12", {"AU12": FacsCode(side="U")}),
        ("B14", {"AU14": FacsCode(side="B")}),
        ("AUL12", {"AU12": FacsCode(side="L")}),
        ("0", {}),
        (" Neutral ", {}),
        ("51+12c; 61", {"AU12": FacsCode("C"), "AU51": FacsCode(), "AU61": FacsCode()}),
        ("M59+12", {"AU12": FacsCode(), "M59": FacsCode()}),
        ("L12B+R12D", {"AU12": FacsCode("D", "B")}),
    ],
)
def test_facs_notation_is_read(text: str, expected: dict[str, FacsCode]) -> None:
    assert parse_codes(text) == expected


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("1C+2X", 4, "'2X' is not a FACS code."),
        ("1+99", 3, "FACS has no code 99."),
        ("1+3", 3, "FACS has no code 3."),
        ("12+6+12B", 6, "An AU is coded twice."),
        ("6++12", 3, "A FACS code is missing."),
        ("", 1, "A FACS code is missing."),
        ("12+0", 4, "FACS has no code 0."),
        ("smile", 1, "'smile' is not a FACS code."),
        ("null", 1, "'null' is not a FACS code."),
    ],
)
def test_a_wrong_facs_code_is_an_error_that_names_its_place(
    text: str, place: int, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_codes(text)
    assert caught.value.what == message
    assert caught.value.where == f"{text!r}, character {place}" and caught.value.hint


def test_plain_codes_are_written_in_facs_notation() -> None:
    codes = {12: "C", "au6": 1, "AU04": 0, "AU25": None, "AU01": np.nan}
    assert format_codes(codes) == "6+12C"
    assert format_codes({}) == format_codes({"AU12": 0}) == "0"
    for wrong in ({"AU12": "F"}, {"AU12": 2}, {"AU99": 1}, {"AU12": FacsCode("F")}):
        with pytest.raises(UsageError):
            format_codes(wrong)
