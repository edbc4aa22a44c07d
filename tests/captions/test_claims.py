"""What texts claim about a face, and that no two texts of one face contradict each other."""

import random
from functools import cache
from itertools import product

import pytest

from fauds.captions import languages, load
from fauds.captions.claims import (
    Claim,
    ClaimReader,
    cannot_both_be_true,
    contradictions,
    impossible_pairs,
)
from fauds.captions.lexicon import Lexicon
from fauds.facs import AUS, STATES, beside, moves

from .helpers import BP4D, DISFA

LANGUAGES = sorted(languages())


@cache
def reader(language: str) -> ClaimReader:
    templates = load(language)
    return ClaimReader(templates.language_file, Lexicon(templates))


def test_places_are_claims_and_pulls_and_hedged_clauses_are_not() -> None:
    claims = reader("en").claims
    assert claims("The lip corner is raised.") == {Claim("lip corner", "up", True)}
    assert claims("The lip corner is not raised.") == {Claim("lip corner", "up", False)}
    assert claims("One or both lip corners are pulled up.") == frozenset()
    assert claims("The lip corner may be raised.") == frozenset()
    assert claims("The lip corner is pulled, and the cheek is raised.") == {
        Claim("cheek", "up", True)
    }
    assert claims("The lower lip is pulled.") == frozenset()
    assert reader("zh").claims("嘴唇没有分开。") == {Claim("lips", "apart", False)}
    assert reader("zh").claims("嘴唇可能分开。") == frozenset()


def test_opposite_places_and_denials_cannot_both_be_true() -> None:
    up, down = (Claim("lip corner", direction, True) for direction in ("up", "down"))
    assert cannot_both_be_true(up, down) and cannot_both_be_true(down, up)
    assert cannot_both_be_true(up, Claim("lip corner", "up", False))
    assert not cannot_both_be_true(up, Claim("lip corner", "down", False))
    assert not cannot_both_be_true(up, Claim("inner brow", "down", True))
    assert contradictions([up, down, up]) == [(down, up)]


def test_the_impossible_pairs_are_those_of_antagonists() -> None:
    pairs = {(au, other) for au, _, other, _ in impossible_pairs()}
    assert {("AU12", "AU15"), ("AU01", "AU04"), ("AU05", "AU07"), ("AU24", "AU25")} <= pairs
    assert not pairs & {("AU06", "AU12"), ("AU01", "AU02"), ("AU15", "AU17")}
    for au, claim, other, other_claim in impossible_pairs():
        assert (claim.part, claim.direction) in moves(au)
        assert (other_claim.part, other_claim.direction) in moves(other)
        assert cannot_both_be_true(claim, other_claim)


class Claims:
    """The claims of every text that a face of some AUs can have, each read once."""

    def __init__(self, language: str, style: str, variant: int, at_most: str | None) -> None:
        self.templates = load(language)
        self._read = cache(reader(language).claims)
        self._style, self._variant, self._at_most = style, variant, at_most
        self._local = cache(self._local_claims)

    def _local_claims(self, au: str, state: str, active: frozenset[str]) -> frozenset[Claim]:
        if self._style == "plain":
            text = self.templates.local(au, state, self._variant, at_most=self._at_most)
        else:
            text = self.templates.composed(au, state, active, self._variant, at_most=self._at_most)
        return self._read(text)

    def of_face(self, states: dict[str, str]) -> set[Claim]:
        """Return the claims of all local texts and of the global text of one face."""
        seen = {au: state for au, state in states.items() if state != "inactive"}
        claims = set()
        for au, state in states.items():
            near = frozenset(beside(au, states)) & seen.keys() if self._style != "plain" else ()
            claims |= self._local(au, state, frozenset(near))
        degrees = {au: state for au, state in seen.items() if state in STATES[2:]}
        for unit in self.templates.split(seen, degrees):
            degree = next((degrees[au] for au in unit.aus if au in degrees), None)
            claims |= self._read(self.templates.graded_fragment(unit, "F", self._variant, degree))
        return claims


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("variant", range(3))
@pytest.mark.parametrize("style", ["plain", "composed"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_face_of_a_benchmark_has_texts_that_cannot_both_be_true(
    language: str, style: str, variant: int
) -> None:
    for aus, at_most in ((BP4D, None), (DISFA, "A")):
        claims = Claims(language, style, variant, at_most)
        for states in product(STATES[:2], repeat=len(aus)):
            face = dict(zip(aus, states, strict=True))
            assert not contradictions(claims.of_face(face)), face


@pytest.mark.parametrize(
    "faces",
    [1_500, pytest.param(20_000, marks=[pytest.mark.exhaustive, pytest.mark.slow])],
)
@pytest.mark.parametrize("style", ["plain", "composed"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_random_face_of_all_aus_has_texts_that_cannot_both_be_true(
    language: str, style: str, faces: int
) -> None:
    rng = random.Random(0)
    by_variant = [Claims(language, style, variant, None) for variant in range(3)]
    for number in range(faces):
        face = {au: rng.choice((STATES[0], STATES[0], *STATES[1:])) for au in AUS}
        assert not contradictions(by_variant[number % 3].of_face(face)), face
