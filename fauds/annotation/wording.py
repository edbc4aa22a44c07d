"""Puts action units (AUs) into words: descriptions with sides, order in time, summaries of a clip.

The descriptions are those of `fauds.captions`. The words for sides, order and summaries are in
annotation.yaml of each language's templates.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fauds.captions import describe, load
from fauds.captions.template_files import ANNOTATION
from fauds.captions.templates import subject
from fauds.captions.yamlread import broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, INTENSITIES, SIDES, WITHOUT_AUS, expression_aus

_KEYS = {
    "sides": SIDES,
    "local_sides": SIDES,
    "order": ("begin", "then", "end"),
    "names": AUS,
    "expressions": (*expression_aus(), *WITHOUT_AUS),
    "expression": (
        *("predicted", "codebook", "supported", "others", "unsupported", "end", "unknown"),
        "none",
    ),
    "summary": ("clip", "nothing", "once", "often", "strongest", "with", "end", "never"),
}


_KEPT = 50_000
"""How many rendered texts of faces are kept, so that memory does not grow with a table."""


class Wording:
    """The texts of one language, which are rendered once for each combination of AUs.

    Args:
        language: the code of the language.
        degrees: whether descriptions say intensities, A to E, where coded.
        templates: a folder with the user's templates; None for those of fauds only.
        variant: which of the paraphrases of each sentence to use, counted from 0.

    Raises:
        UsageError: the language does not exist.
        DataError: the templates are invalid.
    """

    def __init__(
        self,
        language: str = "en",
        degrees: bool = False,
        templates: Path | None = None,
        variant: int = 0,
    ) -> None:
        self.language, self.degrees, self._folder = language, degrees, templates
        self._variant = variant
        self._templates = load(language, templates)
        self._faces: dict[tuple[Any, ...], str] = {}
        self._locals: dict[tuple[str, str, str | None, str | None], str] = {}

    @cached_property
    def _words(self) -> dict[str, Any]:
        source = self._templates.files.get(ANNOTATION)
        if source is None:
            folder = self._templates.files["global.yaml"].path.parent
            raise DataError(
                f"The language {self.language!r} has no {ANNOTATION}, which has the words for "
                "sides, order in time and summaries.",
                where=folder / ANNOTATION,
                hint=f"write this file; templates/en/{ANNOTATION} shows the form",
            )
        words = parse(source)
        for key, names in _KEYS.items():
            entry = words.get(key)
            for name in names:
                if not isinstance(entry, dict) or not isinstance(entry.get(name), str):
                    raise broken(source, f"{ANNOTATION} needs a text {key}: {name}.")
        for key in ("and", "comma"):
            if not isinstance(words.get(key), str):
                raise broken(source, f"{ANNOTATION} needs a text {key}.")
        return words

    def _say(self, *keys: str, sex: str | None = None, **variables: Any) -> str:
        text = self._words
        for key in keys:
            text = text[key]
        source = self._templates.files[ANNOTATION]
        raw = str(text)
        values = {name: str(value) for name, value in variables.items()}
        rendered = self._templates.renderer.fragment(
            raw,
            source.at(getattr(text, "line", None)),
            **self._templates.words(subject(sex)),
            **values,
        )
        # Rendering removes blanks at the ends, which join texts to others.
        before = raw[: len(raw) - len(raw.lstrip())]
        after = raw[len(raw.rstrip()) :]
        return f"{before}{rendered.strip()}{after}"

    def local(
        self, au: str, degree: int | None = None, side: str | None = None, sex: str | None = None
    ) -> str:
        """Return the description of an active AU.

        Args:
            au: the AU.
            degree: the intensity, 1 to 5; None if it is not known. It is said only if the
                descriptions have degrees.
            side: the side of the face, one of `fauds.facs.SIDES`; None if it is not coded.
            sex: the sex of the person, "F", "M" or None.
        """
        state = INTENSITIES[degree - 1] if self.degrees and degree else "active"
        key = (au, state, side, sex if side else None)
        if key not in self._locals:
            text = describe(au, state, self.language, variant=self._variant, templates=self._folder)
            self._locals[key] = text if side is None else self.on_side(text, side, sex)
        return self._locals[key]

    def on_side(self, text: str, side: str, sex: str | None) -> str:
        """Return the description of an AU with the side of the face before it."""
        return self._say("local_sides", side, sex=sex) + text

    def face(
        self,
        aus: Sequence[str],
        sex: str | None = None,
        sides: Mapping[str, str] | None = None,
        degrees: Mapping[str, str] = MappingProxyType({}),
        single: bool = False,
    ) -> str:
        """Return the description of a face on which these AUs are active, and no other.

        AUs on one side of the face are described after the others, with their side.

        Args:
            aus: the active AUs, in any order.
            sex: the sex of the person, "F", "M" or None.
            sides: the side of each active AU that has one, by AU.
            degrees: the degree, "A" to "E", of AUs whose degree is said, by AU.
            single: whether to write one sentence.
        """
        coded = tuple(sorted((au, side) for au, side in (sides or {}).items() if au in aus))
        key = (frozenset(aus), sex, coded, tuple(sorted(degrees.items())), single)
        if key not in self._faces:
            if len(self._faces) >= _KEPT:
                self._faces.clear()
            self._faces[key] = self._face(aus, sex, dict(coded), degrees, single)
        return self._faces[key]

    def _face(
        self,
        aus: Sequence[str],
        sex: str | None,
        sides: Mapping[str, str],
        degrees: Mapping[str, str],
        single: bool,
    ) -> str:
        groups = {side: [au for au in aus if sides.get(au) == side] for side in (None, *SIDES)}
        texts: list[str] = []
        for side, of_side in groups.items():
            if of_side or (side is None and not sides):
                text = self._templates.face(
                    of_side,
                    subject(sex),
                    self._variant,
                    degrees={au: degrees[au] for au in of_side if au in degrees},
                    side="" if side is None else self._say("sides", side, sex=sex),
                    single=single,
                    again=bool(texts),
                )
                texts.append(text)
        spaced = not self.language.startswith(("zh", "ja"))
        if not single:
            return (" " if spaced else "").join(texts)
        # All but the last lose the full stop with which the template ends.
        return ("; " if spaced else "；").join([*(text[:-1] for text in texts[:-1]), texts[-1]])

    def order(self, aus: Sequence[str], onsets: Sequence[float], apart: float) -> str:
        """Return which of several AUs began first; "" if they began together.

        Args:
            aus: the AUs, in the order in which they began.
            onsets: the time at which each of them began, in seconds.
            apart: the shortest time between two beginnings that is worth a word, in seconds.
        """
        groups: list[tuple[float, list[str]]] = []
        previous = 0.0
        for au, onset in zip(aus, onsets, strict=True):
            # Compared with the last AU of the group: many small steps are one beginning.
            if groups and onset - previous <= apart + 1e-9:
                groups[-1][1].append(au)
            else:
                groups.append((onset, [au]))
            previous = onset
        if len(groups) < 2:
            return ""
        first, *later = groups
        text = self._say("order", "begin", aus=self.listed(first[1]))
        for onset, names in later:
            seconds = f"{onset - first[0]:.1f}"
            text += self._say("order", "then", aus=self.listed(names), seconds=seconds)
        return text + self._say("order", "end")

    def listed(self, names: Sequence[str]) -> str:
        """Return names as a list in words, such as "AU06, AU07 and AU12"."""
        ordered = sorted(names, key=AUS.index)
        start = str(self._words["comma"]).join(ordered[:-1])
        return f"{start}{self._words['and']}{ordered[-1]}" if start else ordered[-1]

    def named(self, au: str) -> str:
        """Return an AU with its name, such as "AU12 (lip corner puller)"."""
        name = self._say("names", au)
        return f"{au}（{name}）" if self.language.startswith(("zh", "ja")) else f"{au} ({name})"

    def say(self, key: str, **variables: Any) -> str:
        """Return a text of the summary of a clip; see annotation.yaml for keys and variables."""
        return self._say("summary", key, **variables)

    def expression(
        self, name: str, score: float, aus: Sequence[str], supported: Sequence[str] | None
    ) -> str:
        """Return the description of a predicted expression.

        Args:
            name: the expression, such as "happiness".
            score: its probability, 0 to 1.
            aus: the AUs that the codebook associates with it.
            supported: those of them that the model's evidence supports; None if this is not known.
        """
        shown = self._say("expressions", name)
        text = self._say("expression", "predicted", name=shown, percent=f"{100 * score:.0f}")
        if not aus:
            return text + self._say("expression", "none")
        text += self._say("expression", "codebook", aus=self._listed_by_name(aus))
        if supported is None:
            return text + self._say("expression", "unknown")
        others = [au for au in aus if au not in supported]
        if not supported:
            return text + self._say("expression", "unsupported") + self._say("expression", "end")
        text += self._say("expression", "supported", aus=self.listed(supported))
        if others:
            text += self._say("expression", "others", aus=self.listed(others))
        return text + self._say("expression", "end")

    def _listed_by_name(self, aus: Sequence[str]) -> str:
        *start, last = (self.named(au) for au in aus)
        listed = str(self._words["comma"]).join(start)
        return f"{listed}{self._words['and']}{last}" if start else last

    def joined(self, *sentences: str) -> str:
        """Return sentences as one text."""
        blank = "" if self.language.startswith(("zh", "ja")) else " "
        return blank.join(sentence for sentence in sentences if sentence)
