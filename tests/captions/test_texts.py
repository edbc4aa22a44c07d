"""The texts of the shipped templates: distinct, complete, and exact about active AUs."""

import random
import re
from itertools import combinations

import pytest

from fauds import facs
from fauds.captions import describe, describe_face, languages, load
from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.errors import UsageError
from fauds.facs import STATES

from .helpers import BOTH, BP4D, DISFA

VARIANTS = 3


def subsets(aus: list[str]) -> list[tuple[str, ...]]:
    return [c for size in range(len(aus) + 1) for c in combinations(aus, size)]


def fragment_pattern(templates: Templates, sex: str) -> re.Pattern[str]:
    """Return a pattern of all fragments, the longest first."""
    fragments = [templates.face_fragment(unit.paraphrases, sex) for unit in templates.units]
    fragments.sort(key=len, reverse=True)
    return re.compile("|".join(rf"\b{re.escape(fragment)}\b" for fragment in fragments))


def local_texts(language: str) -> dict[tuple[str, str, int], list[str]]:
    """Return the sentences of every action unit, state and paraphrase."""
    templates = load(language)
    return {
        (au, state, variant): templates.sentences(au, state, variant)
        for au in facs.AUS
        for state in STATES
        for variant in range(VARIANTS)
    }


@pytest.mark.parametrize("language", languages())
def test_every_local_sentence_belongs_to_one_au_and_state(language: str) -> None:
    sentences = [s.casefold() for text in local_texts(language).values() for s in text]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("language", languages())
def test_all_texts_have_the_same_number_of_paraphrases(language: str) -> None:
    templates = load(language)
    assert templates.paraphrase_count(facs.AUS, STATES) == VARIANTS
    assert {len(unit.paraphrases) for unit in templates.units} == {VARIANTS}


def test_local_texts_name_the_action_and_add_what_may_be_seen() -> None:
    for key, sentences in local_texts("en").items():
        words = " ".join(sentences).split()
        least, most = (2, 16) if key[1] == "inactive" else (9, 38)
        assert len(sentences) == (1 if key[1] == "inactive" else 2), key
        assert least <= len(words) <= most, key
        for sentence in sentences:
            assert sentence[0].isupper() and sentence.endswith(".") and "  " not in sentence, key


def test_chinese_texts_hold_only_chinese_characters() -> None:
    templates = load("zh")
    faces = [
        templates.face(c, sex, v) for c in subsets(DISFA) for sex in SUBJECT_WORDS for v in (0, 2)
    ]
    for text in [*("".join(sentences) for sentences in local_texts("zh").values()), *faces]:
        assert re.fullmatch(r"[\u4e00-\u9fff，、；：（）“”。]+", text), text
        assert text.endswith("。") and len(text) <= 130
    for key, sentences in local_texts("zh").items():
        least, most = (6, 30) if key[1] == "inactive" else (10, 60)
        assert len(sentences) == (1 if key[1] == "inactive" else 2), key
        assert least <= len("".join(sentences)) <= most, key


FAMILIES = {
    "en": {
        "A": "trace hint barely detectable",
        "B": "slight slightly little mild mildly",
        "C": "marked markedly clear clearly pronounced distinct distinctly",
        "D": "severe severely extreme extremely strongly intense intensely",
        "E": "maximum limit fully utmost",
    },
    "zh": {
        "A": "些微 一丝 隐约 极轻微",
        "B": "轻微 轻度 略微 稍",
        "C": "明显 显著",
        "D": "极度 强烈 重度 剧烈",
        "E": "最大限度 极限",
    },
}


@pytest.mark.parametrize("language", FAMILIES)
def test_no_degree_is_described_with_the_words_of_another(language: str) -> None:
    families = {degree: words.split() for degree, words in FAMILIES[language].items()}
    for (au, state, variant), sentences in local_texts(language).items():
        text = " ".join(sentences).lower().replace("极轻微", "" if state != "A" else "一丝")
        words_of_text = set(re.findall(r"[a-z]+", text)) if language == "en" else None
        others = [
            word
            for degree, words in families.items()
            for word in words
            if degree != state
            and (word in text if words_of_text is None else word in words_of_text)
        ]
        assert state == "active" or not others, (au, state, variant, others, text)


@pytest.mark.parametrize("language", languages())
def test_degrees_differ_in_more_than_their_adverbs(language: str) -> None:
    """The five texts of an action unit differ even without the words that name degrees."""
    named = [word for words in FAMILIES[language].values() for word in words.split()]
    pattern = re.compile("|".join(rf"\b{w}\b" if w.isascii() else w for w in named))
    texts = local_texts(language)
    for au in facs.AUS:
        for variant in range(VARIANTS):
            second = [pattern.sub("", texts[au, degree, variant][1]) for degree in "ABCDE"]
            assert len(set(second)) == 5, (au, variant)


@pytest.mark.slow
@pytest.mark.parametrize("aus", [BP4D, DISFA], ids=["bp4d", "disfa"])
@pytest.mark.parametrize("language", languages())
def test_every_combination_has_its_own_text(language: str, aus: list[str]) -> None:
    templates = load(language)
    made = [templates.face(c, sex) for sex in SUBJECT_WORDS for c in subsets(aus)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("sex", SUBJECT_WORDS)
def test_fragments_state_exactly_the_active_aus(sex: str) -> None:
    templates = load()
    pattern = fragment_pattern(templates, sex)
    meaning = {templates.face_fragment(unit.paraphrases, sex): unit.aus for unit in templates.units}
    assert len(meaning) == len(templates.units)
    nothing = templates.face_fragment(templates.face_file.nothing, sex)
    rng = random.Random(0)
    sampled = [tuple(rng.sample(BOTH, rng.randint(0, len(BOTH)))) for _ in range(1500)]
    for active in {*subsets(DISFA), *rng.sample(subsets(BP4D), 1000), *sampled}:
        text = templates.face(active, sex)
        stated_aus = [au for fragment in pattern.findall(text) for au in meaning[fragment]]
        assert sorted(stated_aus) == sorted(active), text
        rest = pattern.sub("", text.replace(nothing[1:], ""))
        words = set(re.findall(r"\w+", rest.lower())) - {"on", "one", "side", "or", "both", "and"}
        people = {"a", "s", "woman", "man", "person", "her", "his", "their"}
        assert words <= {*people, "likewise"}, (text, rest)


def test_every_au_alone_has_its_own_description_of_a_face() -> None:
    texts = {describe_face([au]) for au in facs.AUS}
    assert len(texts) == len(facs.AUS)


@pytest.mark.slow
def test_descriptions_of_faces_have_at_most_80_words() -> None:
    longest = max(
        len(describe_face(c, variant=v).split()) for c in subsets(BP4D) for v in (0, 1, 2)
    )
    assert longest <= 80


def test_descriptions_of_faces_use_the_words_for_the_sex() -> None:
    assert describe_face([], "F") == "A woman's face shows none of the coded actions."
    assert describe_face([], "M") == "A man's face shows none of the coded actions."
    assert describe_face([]) == "A person's face shows none of the coded actions."
    two = describe_face([1, 12, 17], "M")
    assert two.startswith("A man's inner brow is") and " his lip corner is" in two
    assert two.endswith(", on one side or both. His chin is pushed up.")
    assert " Their lips are " in describe_face([1, 25])


def test_paraphrases_of_a_face_differ_in_the_order_of_what_they_tell() -> None:
    texts = [describe_face([1, 12, 25], "F", variant=variant) for variant in range(VARIANTS)]
    assert texts[0].index("brow") < texts[0].index("lips are")
    assert texts[1].index("lips are") < texts[1].index("brow")
    assert texts[2].startswith("On one side of a woman's face or both, the brow")


def test_spellings_and_order_do_not_matter() -> None:
    assert describe_face(["au12", 6, "AU_01"]) == describe_face([1, 6, 12])
    assert describe(12) == describe("AU12", "active")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="choose from: en, zh"):
        describe(12, language="eo")
    with pytest.raises(UsageError, match="inactive, active"):
        describe(12, "sleepy")
    with pytest.raises(UsageError, match="must be F or M"):
        describe_face([12], "X")
