"""Functions that return a text about one action unit, about a face, or about a face's AU codes.

A face's description has three lengths: its FACS string (1C+2C+12D), one sentence, and a report with
codes in brackets and the description of every action unit that is seen.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fauds.captions.build import highest_inactive
from fauds.captions.styles import style_name
from fauds.captions.templates import Templates, canonical, load, state_name, subject
from fauds.errors import UsageError
from fauds.facs import AUS, INTENSITIES, au_name, au_number, beside, format_codes, occurs

CERTAIN = 0.95
"""Probability from which an action unit is told as a fact."""

VERY_PROBABLE, PROBABLE, UNDECIDED = 0.8, 0.6, 0.4
"""Probabilities from which an action unit is told as very probable, probable and undecided."""


def describe(
    au: int | str,
    state: str = "active",
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
    style: str | None = None,
    neighbours: Collection[int | str] = (),
    occurrence_at: int | None = None,
) -> str:
    """Return the description of one action unit, for example ``describe("AU12", "active")``.

    Args:
        au: the action unit, in any common spelling.
        state: "inactive", "active", or a degree (FACS intensity), "A" (trace) to "E" (maximum).
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.
        style: "plain" or "composed"; None for the default style.
        neighbours: the active action units that a composed description may mention; it names those
            that are next to the action unit.
        occurrence_at: the lowest intensity, 1 to 5, that counts as active; a text of the state
            "inactive" then leaves lower ones open. None if every intensity counts as active.

    Raises:
        UsageError: the action unit, state, language or style is unknown.
        DataError: the templates are broken, or have no such paraphrase.
    """
    name, renderer = au_name(au), load(language, templates)
    at_most = highest_inactive(occurrence_at)
    if style_name(style) == "plain":
        return renderer.local(name, state_name(state), variant, at_most=at_most)
    near = set(beside(name, AUS) if not neighbours else beside(name, canonical(neighbours)))
    active = near & set(canonical(neighbours))
    return renderer.composed(name, state_name(state), active, variant, at_most=at_most)


def describe_face(
    aus: Collection[int | str],
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
) -> str:
    """Return the description of a face on which exactly these action units are active.

    Args:
        aus: the action units, in any common spelling; if empty, the text says that none of the
            coded action units is seen.
        sex: "F", "M", or None if not known.
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: an action unit, the sex or the language is unknown.
        DataError: the templates are broken, or have no such paraphrase.
    """
    return load(language, templates).face(canonical(aus), subject(sex), variant)


@dataclass(frozen=True)
class Description:
    """The descriptions of one face, and of its single action units.

    Attributes:
        face: the description of the whole face; ``str()`` of this object returns it too.
        local: the description of every coded action unit, by the action unit's name.
        active: the names of the active action units, in FACS order.
        facs: the FACS string of the face, such as 1C+2C+12D; 0 if no action unit is active.
        sentence: the description of the whole face as one sentence.
        report: the description of the whole face with codes in brackets, then a line for each
            active action unit that is certain, and, if some action units are coded but not seen,
            one each for these and for those that are not coded. Lines are separated by newlines. It
            is empty in a language without the words for it.
    """

    face: str
    local: Mapping[str, str]
    active: tuple[str, ...]
    facs: str = ""
    sentence: str = ""
    report: str = ""

    def __str__(self) -> str:
        return self.face


def describe_codes(
    codes: Mapping[int | str, int | str | None],
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
    style: str | None = None,
    occurrence_at: int | None = None,
) -> Description:
    """Return the descriptions of one face from its codes, such as ``{"AU06": 1, "AU12": "C"}``.

    Args:
        codes: the code of each action unit; the keys are action units in any common spelling. A
            code is 1 (active), 0 (inactive), a degree (FACS intensity) "A" (trace) to "E"
            (maximum), or None (also NaN or pandas' NA) if the action unit is not coded.
        sex: "F", "M", or None if not known.
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.
        style: the style of the descriptions of single action units, "plain" or "composed"; None
            for the default style.
        occurrence_at: the lowest intensity, 1 to 5, that the code 1 stands for; what 0 says then
            leaves lower ones open. None if 0 means that the action unit is absent.

    Raises:
        UsageError: an action unit, a code, the sex, the style or the language is unknown, or an
            action unit occurs twice.
        DataError: the templates are broken, or have no such paraphrase.
    """
    states: dict[str, str] = {}
    for spelling, code in codes.items():
        au = au_name(spelling)
        if au in states:
            raise UsageError(
                f"The codes contain {au} more than once.",
                where=str(spelling),
                hint="give one code per action unit",
            )
        state = _state(au, code)
        if state is not None:
            states[au] = state
    record = _Record(
        load(language, templates),
        {au: states[au] for au in AUS if au in states},
        subject(sex),
        variant,
        style_name(style),
        occurrence_at,
    )
    return record.description({})


def describe_probabilities(
    probabilities: Mapping[int | str, float],
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
    style: str | None = None,
    occurrence_at: int | None = None,
) -> Description:
    """Return the descriptions of one face from predicted probabilities, with words of certainty.

    An action unit is told as a fact from `CERTAIN` on, as very probable from `VERY_PROBABLE`, as
    probable from `PROBABLE`, and as one that cannot be decided from `UNDECIDED`; below, it is
    inactive. The words are only right if probabilities are calibrated: of all action units with a
    probability of about 0.8, four fifths should be active (results.json has a model's calibration).

    Args:
        probabilities: the probability of being active of each action unit; the keys are action
            units in any common spelling.
        sex: see `describe_codes`.
        language: see `describe_codes`.
        variant: see `describe_codes`.
        templates: see `describe_codes`.
        style: see `describe_codes`.
        occurrence_at: the lowest intensity, 1 to 5, that the model was trained to detect; None if
            it was trained on occurrence.

    Returns:
        The descriptions. `Description.active`, the FACS string and the local descriptions are those
        of the probabilities of at least 0.5.

    Raises:
        UsageError: an action unit, the sex, the style or the language is unknown, an action unit
            occurs twice, or a probability is not from 0 to 1.
        DataError: the templates are broken, or have no words for certainty.
    """
    by_au: dict[str, float] = {}
    for spelling, probability in probabilities.items():
        au = au_name(spelling)
        if au in by_au or not 0 <= probability <= 1:
            raise UsageError(
                f"The probability of {au} is {probability}."
                if au not in by_au
                else f"The probabilities contain {au} more than once.",
                where=str(spelling),
                hint="give one probability from 0 to 1 per action unit",
            )
        by_au[au] = probability
    by_au = {au: by_au[au] for au in AUS if au in by_au}
    record = _Record(
        load(language, templates),
        {au: "active" if value >= 0.5 else "inactive" for au, value in by_au.items()},
        subject(sex),
        variant,
        style_name(style),
        occurrence_at,
    )
    limits = {
        "very probable": (VERY_PROBABLE, CERTAIN),
        "probable": (PROBABLE, VERY_PROBABLE),
        "undecided": (UNDECIDED, PROBABLE),
    }
    return record.description(
        {
            name: [au for au, value in by_au.items() if least <= value < most]
            for name, (least, most) in limits.items()
        }
    )


@dataclass(frozen=True)
class _Record:
    """The states of one face's action units, which the texts of all lengths are made from."""

    templates: Templates
    states: Mapping[str, str]
    sex: str
    variant: int
    style: str
    occurrence_at: int | None

    def description(self, guesses: Mapping[str, Collection[str]]) -> Description:
        """Return the descriptions of the face.

        Args:
            guesses: action units that are not certain; see `Templates.face`.
        """
        local = {au: self._local(au) for au in self.states}
        return Description(
            face=self._face(guesses),
            local=local,
            active=self._active,
            facs=format_codes(self._codes(self.states)),
            sentence=self._face(guesses, single=True),
            report=self._report(guesses, local),
        )

    def _codes(self, aus: Iterable[str]) -> dict[str, int | str | None]:
        """Return the codes of action units in FACS notation, degrees or 1 and 0."""
        return {
            au: state if state in INTENSITIES else int(state != "inactive")
            for au, state in ((au, self.states[au]) for au in aus)
        }

    @property
    def _active(self) -> tuple[str, ...]:
        return tuple(au for au, state in self.states.items() if state != "inactive")

    @property
    def _at_most(self) -> str | None:
        return highest_inactive(self.occurrence_at)

    def _local(self, au: str) -> str:
        state, variant = self.states[au], self.variant
        if self.style == "plain":
            return self.templates.local(au, state, variant, at_most=self._at_most)
        active = {
            name
            for name in beside(au, self.states)
            if occurs(self.states[name], self.occurrence_at)
        }
        return self.templates.composed(au, state, active, variant, at_most=self._at_most)

    def _face(
        self,
        guesses: Mapping[str, Collection[str]],
        codes: Mapping[str, str] = MappingProxyType({}),
        *,
        single: bool = False,
    ) -> str:
        guessed = {au for aus in guesses.values() for au in aus}
        return self.templates.face(
            [au for au in self._active if au not in guessed],
            self.sex,
            self.variant,
            degrees={au: state for au, state in self.states.items() if state in INTENSITIES},
            at_most=self._at_most,
            guesses=guesses,
            codes=codes,
            single=single,
        )

    def _report(self, guesses: Mapping[str, Collection[str]], local: Mapping[str, str]) -> str:
        words = self.templates.face_file.report
        if not words:
            return ""
        guessed = {au for aus in guesses.values() for au in aus}
        told = {*self._active, *guessed}
        codes = {
            au: format_codes(self._codes([au])) if au in self._active else str(au_number(au))
            for au in self.states
            if au in told
        }
        unseen = "+".join(str(au_number(au)) for au in self.states if au not in told)
        uncoded = "+".join(str(au_number(au)) for au in AUS if au not in self.states)
        opening, closing = words["code"]
        lines = [
            self._face(guesses, codes),
            *(
                f"{local[au]}{opening}{codes[au]}{closing}"
                for au in self._active
                if au not in guessed
            ),
        ]
        # Codes without a 0 may come from a list of what was seen: the rest is then not known.
        if unseen:
            lines += [words["unseen"] + unseen, *([words["uncoded"] + uncoded] if uncoded else [])]
        return "\n".join(lines)


def _state(au: str, code: int | str | None) -> str | None:
    """Return the state that a code stands for; None if the action unit is not coded.

    Args:
        au: the action unit's name, for errors.
        code: 1 (active), 0 (inactive), a degree "A" to "E", or a missing value (None, NaN or
            pandas' NA).

    Returns:
        "active", "inactive", or a degree: one of `fauds.facs.STATES`.

    Raises:
        UsageError: the code has another value.
    """
    # pandas marks missing values by NaN, which is unequal to itself, or NA, which has no truth
    # value.
    if (
        code is None
        or type(code).__name__ == "NAType"
        or (isinstance(code, float) and code != code)
    ):
        return None
    if isinstance(code, str):
        return state_name(code)
    if code in (0, 1):
        return "active" if code else "inactive"
    raise UsageError(
        f"{code!r} is not a code of {au}.",
        hint="use 1 for active, 0 for inactive, a letter from A (trace) to E (maximum) for a "
        "degree, or None for not coded",
    )
