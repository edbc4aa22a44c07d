"""Checks the template files of a language and lists all problems with file and line.

The same rules apply to the languages that fauds ships and to users' own templates.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

from fauds.captions import fragments
from fauds.captions.child import LimitError
from fauds.captions.claims import ClaimReader, cannot_both_be_true
from fauds.captions.fragments import SUBJECT_WORDS
from fauds.captions.lexicon import CODED, Meaning
from fauds.captions.lexicon import WordTuple as Fragment
from fauds.captions.parse import Parsed, Parser
from fauds.captions.template_files import COMPOSED, TemplateFile, local_name, sources
from fauds.captions.templates import Templates
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import Words, global_texts
from fauds.captions.yamlread import Text, broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, INTENSITIES, STATES, beside, moves

_SAMPLE = 400  # random combinations of action units, besides all single ones and pairs
_MOST_PROBLEMS = 20  # of one kind, after which a rule stops


@dataclass(frozen=True, order=True)
class Problem:
    """A problem in a template.

    Attributes:
        where: the file and line, as path:line.
        what: a sentence that describes the problem.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """The result of checking a language's templates with `check_templates`.

    Attributes:
        problems: the problems, sorted by file and line.
        files: the number of template files checked.
        sentences: the number of sentences (of descriptions of one action unit) and fragments
            (pieces of descriptions of faces) checked.
        texts: the number of rendered texts that were read back with `fauds.captions.parse`, to
            compare the AU codes read with those that the text was rendered from.
    """

    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    sentences: int = 0
    texts: int = 0

    def add(self, errors: Iterable[DataError]) -> None:
        """Add a problem for every error, with the error's place and message."""
        self.problems += [Problem(str(error.where), error.what) for error in errors]


def check_templates(language: str, templates: Path | None = None) -> Report:
    """Check all templates of a language.

    Texts are joined from fragments, which are single sentences or parts of sentences. The check
    finds:

    - broken YAML and Jinja2, and undefined variables;
    - action units and states without a text, and texts with fewer paraphrases than other texts;
    - empty and duplicate fragments;
    - fragments that contain a joining word, such as "and", which the templates put between
      fragments;
    - texts from which `fauds.captions.parse` reads other AU codes than those that the text was
      rendered from;
    - words outside the vocabulary;
    - what labels do not support, by the word lists in language.yaml, if it has them: signs such as
      wrinkles that are not hedged, words for order in time and for both sides, claims of a text
      about parts that its action unit does not move, and claims of two texts that cannot both be
      true of one face.

    Args:
        language: the language's code, such as "en".
        templates: a folder whose files override the shipped templates.

    Returns:
        The problems, and the numbers of files and texts checked.

    Raises:
        UsageError: the language is unknown.
        DataError: a file cannot be read.
    """
    files = sources(language, templates)
    report = Report(files=len(files))
    report.add(_form(files))
    # The other rules need templates that can be read and rendered.
    if not report.problems:
        loaded = Templates(language, files, trusted=templates is None)
        report.add(_paraphrases(loaded))
        rendering = list(_rendering(loaded))
        report.add(rendering)
        if not rendering:
            parser = Parser(loaded)
            report.add(_duplicates(loaded, parser, report))
            report.add(_connectors(loaded, parser))
            report.add(_readings(loaded, parser, report))
            report.add(_words(loaded))
            report.add(_support(loaded, parser))
            report.add(_contradictions(loaded, parser))
    report.problems.sort()
    return report


def _form(files: dict[str, TemplateFile]) -> Iterator[DataError]:
    """Yield an error for every problem in the form of a language's YAML files.

    Args:
        files: the template files of the language, by name.
    """
    yield from _table(files["language.yaml"], fragments.language_problems)
    yield from _table(files["global.yaml"], _face)
    for au in AUS:
        name = local_name(au)
        if name in files:
            yield from _table(files[name], _states)
        else:
            where = files["global.yaml"].path.parent / name
            yield DataError(f"{au} has no file in this language.", where=where)


_Rule = Callable[[TemplateFile, dict[str, Any]], Iterator[DataError]]


def _table(source: TemplateFile, rule: _Rule) -> list[DataError]:
    try:
        return list(rule(source, parse(source)))
    except DataError as error:
        return [error]


def _face(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    yield from fragments.face_problems(source, table)
    if isinstance(table.get("says"), dict):
        for au in AUS:
            if au not in table["says"]:
                yield broken(source, f"{au} alone has no fragment under 'says'.")


def _states(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    yield from fragments.state_problems(source, table)
    for state in STATES:
        if state not in table:
            yield broken(source, f"The state {state!r} is missing.")


def _paraphrases(templates: Templates) -> Iterator[DataError]:
    """Yield an error for every text with fewer paraphrases than another text of the language."""
    states_of_files = [
        (local_name(au), states) for au in AUS for states in templates.states(au).items()
    ]
    counts = [
        (name, state, len(paraphrases), paraphrases[0][0].line)
        for name, (state, paraphrases) in states_of_files
    ]
    face_texts = [
        ("nothing", templates.face_file.nothing),
        *(("+".join(sorted(unit.aus)), unit.paraphrases) for unit in templates.units),
    ]
    counts += [
        ("global.yaml", name, len(paraphrases), paraphrases[0].line)
        for name, paraphrases in face_texts
    ]
    most = max(count for _, _, count, _ in counts)
    for name, text, count, line in counts:
        if count < most:
            yield broken(
                templates.files[name], f"The text {text!r} has {count} of {most} paraphrases.", line
            )


def _rendering(templates: Templates) -> Iterator[DataError]:
    """Render every text of a language and yield the errors, without repeating equal ones.

    Rendering stops at the first template that exceeds the limit on time or memory.
    """
    reported: set[tuple[str, str]] = set()
    for render in _renderings(templates):
        try:
            render()
        except LimitError as error:
            # Every other text could take as long: stop here.
            yield error
            return
        except DataError as error:
            if (error.what, str(error.where)) not in reported:
                reported.add((error.what, str(error.where)))
                yield error


def _renderings(templates: Templates) -> Iterator[Callable[[], str]]:
    for au in AUS:
        for state, paraphrases in templates.states(au).items():
            for variant in range(len(paraphrases)):
                yield partial(templates.local, au, state, variant)
    face_file = templates.face_file
    if COMPOSED in templates.files:
        for au in AUS:
            yield partial(templates.composed, au, STATES[0], beside(au, AUS))
            yield partial(templates.composed, au, STATES[-1], beside(au, AUS))
    for degree in face_file.at_most:
        yield partial(templates.local, AUS[0], STATES[0], at_most=degree)
    for sex in SUBJECT_WORDS:
        for face_text in _face_texts(templates):
            for variant in range(len(face_text)):
                yield partial(templates.face_fragment, face_text, sex, variant)
        yield partial(templates.face, AUS, sex)
        yield partial(templates.face, (), sex)
        for degree in INTENSITIES if face_file.how else ():
            yield partial(templates.face, AUS, sex, degrees=dict.fromkeys(AUS, degree))
        for name in face_file.certainty:
            yield partial(templates.face, (), sex, guesses={name: AUS})


def _face_texts(templates: Templates) -> list[tuple[Text, ...]]:
    return [templates.face_file.nothing, *(unit.paraphrases for unit in templates.units)]


def _duplicates(templates: Templates, parser: Parser, report: Report) -> Iterator[DataError]:
    """Yield an error for every fragment that has no words or equals an earlier fragment.

    A fragment is a piece of text that asserts the state of some action units. Fragments that differ
    only in case, quotes, blanks or final punctuation count as equal. A fragment of global.yaml may
    equal a sentence in local/ that asserts the same.

    Args:
        templates: the language's templates.
        parser: their parser.
        report: the report, whose `sentences` is increased by the number of fragments.
    """
    places: dict[Fragment, str] = {}
    told: dict[Fragment, Meaning] = {}
    for source, text, rendered, meaning in _rendered(templates):
        report.sentences += 1
        words = parser.lexicon.trimmed(rendered)
        if not words:
            yield broken(source, f"The fragment {str(text)!r} contains no word.", text.line)
        elif words in places and (source.name != "global.yaml" or told.get(words) != meaning):
            what = f"The fragment {str(text)!r} repeats the one at {places[words]}."
            yield broken(source, what, text.line)
        else:
            places.setdefault(words, source.at(text.line))
            told.setdefault(words, meaning)


def _connectors(templates: Templates, parser: Parser) -> Iterator[DataError]:
    """Yield an error for every fragment of global.yaml that contains a joining word.

    A fragment is a piece of a face's description. Joining words are words and punctuation marks
    that global.j2 puts between fragments, such as "and". The parser could not recognise a fragment
    that contains one of them.
    """
    lexicon = parser.lexicon
    for source, text, rendered, meaning in _rendered(templates):
        words = lexicon.trimmed(rendered)
        sequences = {
            words[at : at + n] for n in lexicon.connector_lengths for at in range(len(words))
        }
        connectors = sorted(lexicon.connectors & sequences) + sorted(
            (word,) for word in lexicon.punctuation & set(words)
        )
        if connectors and source.name == "global.yaml" and meaning[0][0] in AUS:
            word = lexicon.text(connectors[0])
            what = f"The fragment {str(text)!r} contains {word!r}, which joins fragments."
            yield broken(source, what, text.line)


def _rendered(templates: Templates) -> Iterator[tuple[TemplateFile, Text, str, Meaning]]:
    """Yield every fragment of a language's YAML files, without degrees.

    Yields:
        The file, the fragment as it is written in the file, the text that is rendered from it (for
        a subject of unknown sex), and the states that it asserts.
    """
    for au in AUS:
        source = templates.files[local_name(au)]
        for state, paraphrases in templates.states(au).items():
            for variant, sentences in enumerate(paraphrases):
                yield from (
                    (source, text, rendered, ((au, state),))
                    for text, rendered in zip(
                        sentences, templates.sentences(au, state, variant), strict=True
                    )
                )
    source = templates.files["global.yaml"]
    nothing: Meaning = ((CODED, STATES[0]),)
    texts = [(templates.face_file.nothing, nothing)] + [
        (unit.paraphrases, tuple((au, STATES[1]) for au in sorted(unit.aus)))
        for unit in templates.units
    ]
    for face_text, meaning in texts:
        for variant, text in enumerate(face_text):
            rendered = templates.face_fragment(face_text, "unknown", variant)
            yield source, text, rendered, meaning


def _readings(templates: Templates, parser: Parser, report: Report) -> Iterator[DataError]:
    """Yield an error for every text from which the parser reads other states than the text's own.

    Args:
        templates: the language's templates.
        parser: their parser.
        report: the report, whose `texts` is increased by the number of texts.
    """
    for au in AUS:
        source = templates.files[local_name(au)]
        for state, paraphrases in templates.states(au).items():
            for variant, sentences in enumerate(paraphrases):
                text = templates.local(au, state, variant)
                parsed = parser(text)
                report.texts += 1
                if parsed != _local_meaning(au, state):
                    yield broken(source, _misread(f"{au} {state}", parsed), sentences[0].line)
                elif not all(
                    sentence in text for sentence in templates.sentences(au, state, variant)
                ):
                    what = f"{au} {state}: local.j2 leaves a sentence out."
                    yield broken(source, what, sentences[0].line)
    for readings in (_face_readings, _graded_readings, _composed_readings):
        errors = (error for error in readings(templates, parser, report) if error)
        yield from islice(errors, _MOST_PROBLEMS)


def _face_readings(
    templates: Templates, parser: Parser, report: Report
) -> Iterator[DataError | None]:
    source = templates.files["global.yaml"]
    variants = templates.paraphrase_count(AUS, STATES)
    units = {unit.aus for unit in templates.units}
    for number, active in enumerate(_combinations(templates)):
        # Only fragments, not the words between them, differ by sex: combinations alternate sexes.
        is_unit = active in units or not active
        for sex in SUBJECT_WORDS if is_unit else [SUBJECT_WORDS[number % len(SUBJECT_WORDS)]]:
            for variant in range(variants):
                report.texts += 1
                text = templates.face(active, sex, variant)
                parsed = parser(text)
                if parsed == _face_meaning(active):
                    yield None
                else:
                    line = next((unit.line for unit in templates.units if unit.aus <= active), None)
                    name = "+".join(sorted(active)) or "nothing"
                    yield broken(source, _misread(f"{name} ({text!r})", parsed), line)


def _graded_readings(
    templates: Templates, parser: Parser, report: Report
) -> Iterator[DataError | None]:
    """Yield an error or None for each description of a face with one degree, and several."""
    source, rng = templates.files["global.yaml"], random.Random(2)
    if not templates.face_file.how:
        return
    one = [{au: degree} for au in AUS for degree in INTENSITIES]
    several = [
        {au: rng.choice(INTENSITIES) for au in rng.sample(AUS, rng.randint(2, 9))}
        for _ in range(_SAMPLE // 4)
    ]
    for degrees in [*one, *several]:
        for variant in range(templates.paraphrase_count(AUS, STATES)):
            report.texts += 1
            text = templates.face(degrees, "F", variant, degrees=degrees)
            parsed = parser(text)
            states = dict.fromkeys(sorted(degrees), "active")
            if parsed == Parsed(states, dict(sorted(degrees.items()))):
                yield None
            else:
                yield broken(source, _misread(repr(text), parsed))


def _composed_readings(
    templates: Templates, parser: Parser, report: Report
) -> Iterator[DataError | None]:
    """Yield an error or None for each composed description, with random active neighbours."""
    if COMPOSED not in templates.files:
        return
    rng = random.Random(3)
    for au, state in product(AUS, STATES):
        source = templates.files[local_name(au)]
        for variant, paraphrase in enumerate(templates.states(au)[state]):
            report.texts += 1
            near = beside(au, AUS)
            active = rng.sample(near, rng.randint(0, len(near)))
            text = templates.composed(au, state, active, variant)
            parsed, own = parser(text), _local_meaning(au, state)
            states = dict(own.states) | dict.fromkeys(active, "active")
            if parsed == Parsed(dict(sorted(states.items())), own.degrees):
                yield None
            else:
                yield broken(source, _misread(repr(text), parsed), paraphrase[0].line)


def _combinations(templates: Templates) -> list[frozenset[str]]:
    rng = random.Random(0)
    sampled = [rng.sample(AUS, rng.randint(3, 12)) for _ in range(_SAMPLE)]
    units = [unit.aus for unit in templates.units]
    small = [combination for size in range(3) for combination in combinations(AUS, size)]
    return list(dict.fromkeys([*map(frozenset, small), *units, *map(frozenset, sampled)]))


def _local_meaning(au: str, state: str) -> Parsed:
    degree = {au: state} if state in STATES[2:] else {}
    return Parsed({au: "active" if state != STATES[0] else state}, degree)


def _face_meaning(active: frozenset[str]) -> Parsed:
    return Parsed(dict.fromkeys(sorted(active), "active"), {}, none=not active)


def _misread(meaning: str, parsed: Parsed) -> str:
    assertions = [f"{au} {parsed.degrees.get(au, state)}" for au, state in parsed.states.items()]
    assertions += [f"{au} contradicted" for au in parsed.contradicted]
    assertions += [f"not understood: {piece!r}" for piece in parsed.unknown]
    return f"The text of {meaning} reads back as {', '.join(assertions[:8]) or 'nothing'}."


def _words(templates: Templates) -> Iterator[DataError]:
    """Yield an error if the vocabulary lacks a token of a face's description.

    Only descriptions of random combinations of active action units are checked.
    """
    tokenise = Tokeniser(templates.language)
    # Connectors are the same for all paraphrases, so the first paraphrase is enough.
    vocabulary = Words.of(global_texts(AUS, templates), tokenise).index().keys()
    source, rng = templates.files["global.yaml"], random.Random(1)
    for _ in range(_SAMPLE):
        active = rng.sample(AUS, rng.randint(3, 12))
        text = templates.face(active, rng.choice(SUBJECT_WORDS))
        missing = [token for token in tokenise(text) if token not in vocabulary]
        if missing:
            what = (
                f"The text of {'+'.join(sorted(active))} contains {missing[0][0]!r}, which is "
                "outside the vocabulary."
            )
            yield broken(source, what)
            return


def _support(templates: Templates, parser: Parser) -> Iterator[DataError]:
    """Yield an error for every text that says more of its action units than a label can."""
    language = templates.language_file
    reader = ClaimReader(language, parser.lexicon)
    signs, order, both = (
        reader.words(words) for words in (language.signs, language.order, language.both_sides)
    )
    for source, text, rendered, meaning in _rendered(templates):
        if meaning[0][0] == CODED:
            continue
        aus = {au for au, _ in meaning}
        denied = any(state == STATES[0] for _, state in meaning)
        for clause in reader.clauses(rendered):
            sign = signs.search(clause) if signs else None
            if sign and (denied or not reader.is_hedged(clause)):
                what = f"{str(text)!r} asserts or denies {sign[0]!r}, which not all skin forms."
                yield broken(source, what, text.line)
            if order and (match := order.search(clause)):
                what = f"{str(text)!r} says {match[0]!r}: labels have no order in time."
                yield broken(source, what, text.line)
            two_sided = denied or aus & set(language.two_sided)
            if both and not two_sided and (match := both.search(clause)):
                what = f"{str(text)!r} says {match[0]!r}: labels do not name sides."
                yield broken(source, what, text.line)
        own = {movement for au in aus for movement in moves(au, surely=True)}
        for claim in sorted(reader.claims(rendered)):
            if claim.asserted and (claim.part, claim.direction) not in own:
                what = (
                    f"{str(text)!r} claims {claim}, which {'+'.join(sorted(aus))} need not bring "
                    "about: name the pull, or hedge the clause."
                )
                yield broken(source, what, text.line)


def _contradictions(templates: Templates, parser: Parser) -> Iterator[DataError]:
    """Yield an error for every two texts of one face whose claims cannot both be true."""
    reader = ClaimReader(templates.language_file, parser.lexicon)
    claiming = [
        (source, text, claim, {au for au, _ in meaning})
        for source, text, rendered, meaning in _rendered(templates)
        for claim in reader.claims(rendered)
    ]
    errors = (
        broken(
            source,
            f"{str(text)!r} claims {claim} and {str(other_text)!r} "
            f"({other_source.at(other_text.line)}) claims {other_claim}: both can be said of one "
            "face.",
            text.line,
        )
        for (source, text, claim, aus), (other_source, other_text, other_claim, other_aus) in (
            combinations(claiming, 2)
        )
        if aus.isdisjoint(other_aus) and cannot_both_be_true(claim, other_claim)
    )
    yield from islice(errors, _MOST_PROBLEMS)
