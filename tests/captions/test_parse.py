"""Assertions read from texts: exact for texts of the templates, cautious for other texts."""

import random
from itertools import combinations

import pytest

from fauds.captions import describe, describe_face, languages, load, parse
from fauds.captions.templates import SUBJECT_WORDS
from fauds.errors import UsageError
from fauds.facs import AUS, STATES, beside

from .helpers import BP4D, DISFA

VARIANTS = 3
LANGUAGES = sorted(languages())


def subsets(aus: list[str]) -> list[tuple[str, ...]]:
    return [c for size in range(len(aus) + 1) for c in combinations(aus, size)]


def check_face(active: tuple[str, ...], text: str, language: str) -> None:
    read = parse(text, language)
    assert dict(read.states) == dict.fromkeys(active, "active"), text
    assert read.none == (not active), text
    assert not read.degrees and not read.contradicted and not read.unknown, (text, read)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_local_text_reads_back_its_state(language: str) -> None:
    templates = load(language)
    for au in AUS:
        for state in STATES:
            for variant in range(VARIANTS):
                text = templates.local(au, state, variant)
                read = parse(text, language)
                assert read.state(au) == (state if state == "inactive" else "active"), text
                assert dict(read.degrees) == ({au: state} if state in "ABCDE" else {}), text
                assert len(read.states) == 1 and not read.unknown and not read.contradicted, text


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize(
    "aus",
    [pytest.param(BP4D, marks=pytest.mark.slow), DISFA],
    ids=["bp4d", "disfa"],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_combination_reads_back(language: str, aus: list[str], variant: int) -> None:
    templates = load(language)
    for number, active in enumerate(subsets(aus)):
        for sex in SUBJECT_WORDS if len(aus) < 10 else [SUBJECT_WORDS[(number + variant) % 3]]:
            check_face(active, templates.face(active, sex, variant), language)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_large_sample_of_combinations_of_all_aus_reads_back(language: str) -> None:
    templates, rng = load(language), random.Random(0)
    for _ in range(3000):
        active = tuple(sorted(rng.sample(AUS, rng.randint(0, 16))))
        text = templates.face(active, rng.choice(SUBJECT_WORDS), rng.randrange(VARIANTS))
        check_face(active, text, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_composed_texts_read_back_their_state_and_their_neighbours(language: str) -> None:
    templates = load(language)
    for au in AUS:
        for active in subsets(list(beside(au, AUS))):
            for number, state in enumerate(STATES):
                text = templates.composed(au, state, active, (number + len(active)) % VARIANTS)
                read = parse(text, language)
                own = state if state == "inactive" else "active"
                assert dict(read.states) == {au: own} | dict.fromkeys(active, "active"), text
                assert dict(read.degrees) == ({au: state} if state in "ABCDE" else {}), text
                assert not read.unknown and not read.contradicted and not read.none, (text, read)


@pytest.mark.parametrize("language", LANGUAGES)
def test_faces_with_degrees_and_in_one_sentence_read_back(language: str) -> None:
    templates, rng = load(language), random.Random(3)
    for number in range(1500):
        active = sorted(rng.sample(AUS, rng.randint(0, 12)))
        degrees = {au: rng.choice("ABCDE") for au in active if rng.random() < 0.7}
        text = templates.face(
            active,
            rng.choice(SUBJECT_WORDS),
            rng.randrange(VARIANTS),
            degrees=degrees,
            at_most=rng.choice([None, "A"]),
            single=number % 2 == 0,
        )
        read = parse(text, language)
        assert read.active == tuple(active) and dict(read.degrees) == degrees, text
        assert not read.unknown and read.none == (not active), (text, read)


@pytest.mark.parametrize("degree", [None, *"ABCD"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_an_inactive_text_leaves_open_does_not_change_its_state(
    language: str, degree: str | None
) -> None:
    templates = load(language)
    for au in AUS:
        for variant in range(VARIANTS):
            for text in (
                templates.local(au, "inactive", variant, at_most=degree),
                templates.composed(au, "inactive", (), variant, at_most=degree),
            ):
                read = parse(text, language)
                assert dict(read.states) == {au: "inactive"} and not read.unknown, text


def test_a_face_without_active_aus_denies_those_that_the_reader_knows_to_be_coded() -> None:
    read = parse(describe_face([], "F"))
    assert read.none and read.state(12) == "not mentioned"
    assert read.asserts("AU12", others=False) is False
    assert read.asserts("AU12") is None
    both = parse(describe_face([]) + " " + describe_face([25]))
    assert both.none and both.contradicted == ("AU25",) and not both.active
    assert both.asserts("AU25") is None and both.asserts("AU12", others=False) is False


def test_codes_in_brackets_do_not_matter() -> None:
    text = "A woman's cheek is raised (6C) and her lip corner is pulled back and up (12)."
    assert parse(text) == parse(text.replace(" (6C)", "").replace(" (12)", ""))


@pytest.mark.parametrize("language", LANGUAGES)
def test_several_local_texts_in_a_row_read_back(language: str) -> None:
    templates, rng = load(language), random.Random(1)
    for _ in range(1000):
        aus = rng.sample(AUS, rng.randint(1, 12))
        states = {au: rng.choice(STATES) for au in aus}
        blank = " " if language == "en" else ""
        variant = rng.randrange(VARIANTS)
        read = parse(
            blank.join(templates.local(*item, variant) for item in states.items()), language
        )
        expected = {au: state if state == "inactive" else "active" for au, state in states.items()}
        assert dict(read.states) == expected and not read.unknown
        assert dict(read.degrees) == {au: s for au, s in states.items() if s in "ABCDE"}


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_damaged_texts_are_understood_or_returned_as_unknown_but_seldom_misread(
    language: str,
) -> None:
    """With a word lost, doubled or swapped in every sentence, the assertions stay right."""
    templates, rng = load(language), random.Random(2)
    right = wrong = 0
    for _ in range(600):
        au, state = rng.choice(AUS), rng.choice(STATES)
        sentences = templates.sentences(au, state, rng.randrange(VARIANTS))
        read = parse((" " if language == "en" else "").join(damaged(s, rng) for s in sentences),
                     language)  # fmt: skip
        expected = "inactive" if state == "inactive" else "active"
        right += dict(read.states) == {au: expected} and read.degrees.get(au, state) == state
        wrong += any(item != (au, expected) for item in read.states.items())
    assert right > 0.9 * 600 and wrong < 0.01 * 600, (right, wrong)


def damaged(sentence: str, rng: random.Random) -> str:
    parts = sentence[:-1].split(" ") if " " in sentence else list(sentence[:-1])
    at = rng.randrange(len(parts) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        parts[at : at + 1] = [parts[at], parts[at]]
    elif kind == 1 and parts[at].lower() not in ("not", "no", "neither", "without", *"不没无未"):
        del parts[at]
    else:
        parts[at], parts[at + 1] = parts[at + 1], parts[at]
    return (" " if " " in sentence else "").join(parts) + sentence[-1]


def test_case_blanks_and_line_ends_do_not_matter() -> None:
    text = describe_face([1, 2, 6, 12], "F")
    assert parse("\n ".join(text.upper().split()) + " ") == parse(text)
    assert parse(text.rstrip(".")) == parse(text)


def test_a_lost_or_added_negation_never_gives_the_opposite_state() -> None:
    for au in AUS:
        for sentence in load().sentences(au, "inactive"):
            for word in (" not ", " no ", " without ", " neither "):
                read = parse(sentence.replace(word, " ", 1) if word in sentence else "")
                assert read.states.get(au) != "inactive", sentence
        for sentence in load().sentences(au, "active"):
            turned = sentence.replace(" are ", " are not ").replace(" is ", " is not ")
            assert turned == sentence or parse(turned).states.get(au) != "active", turned


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The corners of the lips aren't pulled back and up along a slanting line.", "en"),
        ("A woman's brow is not, her brow is pulled up from end to end.", "en"),
        ("It cannot be decided whether her lips are parted.", "en"),
        ("没有，整条眉毛上提。", "zh"),
        ("不能确定她的嘴唇分开。", "zh"),
        ("The corners of the lips are in pulled and up towards the cheekbones.", "en"),
    ],
)
def test_a_stray_negation_or_half_a_sentence_asserts_no_active_au(text: str, language: str) -> None:
    assert not parse(text, language).active


def test_pieces_that_are_not_understood_are_returned() -> None:
    read = parse("A woman whistles a tune, her inner brow is pulled up and her hair is long.")
    assert read.active == ("AU01",) and read.unknown == ("a woman whistles a tune", "hair is long")
    assert parse("").states == {} and parse("...").unknown == ()
    assert parse("全然不懂", "zh").states == {} and parse("全然不懂", "zh").unknown


def test_an_unfinished_text_asserts_its_finished_sentences() -> None:
    first, second = load().sentences("AU12", "active")
    read = parse(f"{first} {second[:14]}")
    assert dict(read.states) == {"AU12": "active"} and read.unknown


def test_contradicted_action_units_are_listed() -> None:
    read = parse(describe(25, "inactive") + " " + describe(25, "C"))
    assert read.contradicted == ("AU25",) and read.state(25) == "contradicted"
    assert not read.states and not read.degrees
    both = parse(describe(12, "B") + " " + describe(12, "D"))
    assert dict(both.states) == {"AU12": "active"} and not both.degrees
    graded = parse(describe(12, "active") + " " + describe(12, "D"))
    assert graded.degrees == {"AU12": "D"}


def test_a_text_equally_similar_to_two_fragments_asserts_nothing() -> None:
    assert parse("A man's lip corner is pulled.").states == {}


def test_the_state_of_one_au_can_be_read_in_any_spelling() -> None:
    read = parse(describe_face([6, 12]))
    assert read.state(12) == "active" and read.state("AU_06") == "active"
    assert read.state(4) == "not mentioned"
    with pytest.raises(UsageError, match="choose from"):
        parse("", "klingon")


def test_users_templates_are_read_with_their_own_fragments(own_templates) -> None:
    root = own_templates("global.yaml", "- eyes are ~blinking\n", "- lids flutter ~about\n")
    assert parse("A man's lids flutter about.", templates=root).active == ("AU45",)
    assert parse("A man's lids flutter barely about.", templates=root).degrees == {"AU45": "A"}


def test_a_text_asserts_occurrence_absence_or_neither():
    read = parse("A woman's eyelids are tightened and her lip corner is pulled back and up.")
    assert read.asserts("AU12") is True
    assert read.asserts("AU01") is None
    assert read.asserts("AU01", others=False) is False
    assert parse("Nothing that is a description.").asserts("AU12", others=False) is None
    trace = parse(describe("AU12", "A"))
    assert [trace.asserts("AU12", at) for at in (None, 1, 2)] == [True, True, False]
