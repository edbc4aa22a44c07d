"""The words themselves: distinct, complete, and saying exactly what is active."""

import random
import re
from itertools import combinations

import pytest

from fauds import facs
from fauds.captions import describe, describe_face, languages, load
from fauds.captions.templates import STATES, SUBJECTS, Templates
from fauds.errors import UsageError

from .helpers import BOTH, BP4D, DISFA

REGIONS = {"brows", "eyes", "cheeks", "nose", "mouth", "chin", "jaw"}
NAMES = {
    1: "Inner brow raiser", 2: "Outer brow raiser", 4: "Brow lowerer", 5: "Upper lid raiser",
    7: "Lid tightener", 9: "Nose wrinkler", 10: "Upper lip raiser", 12: "Lip corner puller",
    14: "Dimpler", 15: "Lip corner depressor", 17: "Chin raiser", 20: "Lip stretcher",
    23: "Lip tightener", 24: "Lip pressor", 25: "Lips part", 26: "Jaw drop",
}  # fmt: skip
MUSCLES = {
    1: "frontalis pars medialis", 2: "frontalis pars lateralis", 4: "corrugator supercilii",
    5: "levator palpebrae superioris", 6: "orbicularis oculi pars orbitalis",
    7: "orbicularis oculi pars palpebralis", 9: "levator labii superioris alaeque nasi",
    10: "levator labii superioris", 12: "zygomaticus major", 14: "buccinator",
    15: "depressor anguli oris", 17: "mentalis", 20: "risorius", 23: "orbicularis oris",
    24: "orbicularis oris",
}  # fmt: skip


def subsets(aus: list[str]) -> list[tuple[str, ...]]:
    return [c for size in range(len(aus) + 1) for c in combinations(aus, size)]


def read_back(templates: Templates, sex: str) -> re.Pattern[str]:
    """Return a pattern of all fragments, the longest first."""
    fragments = {unit.say[0]: unit.aus for unit in templates.units}
    known = sorted((templates._say((say,), sex, 0) for say in fragments), key=len, reverse=True)
    return re.compile("|".join(rf"\b{re.escape(fragment)}\b" for fragment in known))


def test_facts_are_complete() -> None:
    facts = facs.facts()
    assert tuple(facts) == facs.AUS
    for au, fact in facts.items():
        assert set(fact) == {"name", "muscles", "region", "changes"}, au
        assert fact["region"] in REGIONS and fact["muscles"] and fact["changes"], au
    for number, name in NAMES.items():
        assert facts[facs.au_name(number)]["name"] == name
    for number, muscle in MUSCLES.items():
        assert muscle in facts[facs.au_name(number)]["muscles"]


@pytest.mark.parametrize("language", languages())
def test_local_sentences_belong_to_one_au_and_state(language: str) -> None:
    templates = load(language)
    texts = {(au, state): templates.local(au, state) for au in facs.AUS for state in STATES}
    assert len(set(texts.values())) == len(texts)
    sentences = [s for text in texts.values() for s in re.findall(r"[^.。]+[.。]", text)]
    stripped = [sentence.strip() for sentence in sentences]
    assert len(set(stripped)) == len(stripped)


def test_local_texts_have_the_length_of_an_expert_description() -> None:
    for au in facs.AUS:
        for state in STATES:
            text = describe(au, state)
            assert text.count(".") in (2, 3) and 18 <= len(text.split()) <= 32, text


@pytest.mark.parametrize("aus", [BP4D, DISFA], ids=["bp4d", "disfa"])
@pytest.mark.parametrize("language", languages())
def test_every_combination_has_its_own_text(language: str, aus: list[str]) -> None:
    templates = load(language)
    made = [templates.face(c, sex) for sex in SUBJECTS for c in subsets(aus)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("sex", SUBJECTS)
def test_fragments_say_exactly_the_active_aus(sex: str) -> None:
    templates = load()
    pattern = read_back(templates, sex)
    meaning = {templates._say(unit.say, sex, 0): unit.aus for unit in templates.units}
    assert len(meaning) == len(templates.units)
    nothing = templates._say(templates._global["nothing"], sex, 0)
    rng = random.Random(0)
    drawn = [tuple(rng.sample(BOTH, rng.randint(0, len(BOTH)))) for _ in range(1500)]
    for active in {*subsets(DISFA), *rng.sample(subsets(BP4D), 1000), *drawn}:
        text = templates.face(active, sex)
        said = [au for found in pattern.findall(text) for au in meaning[found]]
        assert sorted(said) == sorted(active), text
        rest = pattern.sub("", text.replace(nothing, ""))
        words = set(re.findall(r"\w+", rest)) - {"and", "A", "The", "She", "He"}
        assert words <= {"woman", "man", "person"}, (text, rest)


def test_every_au_can_be_said_on_a_face() -> None:
    texts = {describe_face([au]) for au in facs.AUS}
    assert len(texts) == len(facs.AUS)


def test_face_texts_stay_short() -> None:
    longest = max(len(describe_face(c, "F").split()) for c in subsets(BP4D) if len(c) <= 9)
    assert longest <= 55


def test_sexes_and_no_movement() -> None:
    assert describe_face([], "F") == "A woman shows no visible movement in her face."
    assert describe_face([], "M") == "A man shows no visible movement in his face."
    assert describe_face([]) == "A person shows no visible movement in their face."
    two = describe_face([1, 12, 14, 17], "M")
    assert two.startswith("A man raises") and " He pulls his " in two


def test_spellings_and_order_do_not_matter() -> None:
    assert describe_face(["au12", 6, "AU_01"]) == describe_face([1, 6, 12])
    assert describe(12) == describe("AU12", "active")


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UsageError, match="there is: en"):
        describe(12, language="eo")
    with pytest.raises(UsageError, match="inactive, active"):
        describe(12, "sleepy")
    with pytest.raises(UsageError, match="not a sex"):
        describe_face([12], "X")
