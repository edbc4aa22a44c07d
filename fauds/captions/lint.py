"""What is wrong with a language's templates: all of it, each with file and line.

The rules are the same for the languages that fauds ships and for users' own templates.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from fauds.captions import fragments
from fauds.captions.child import LimitError
from fauds.captions.fragments import SUBJECT_WORDS
from fauds.captions.lexicon import WordTuple as Fragment
from fauds.captions.parse import Parsed, Parser
from fauds.captions.template_files import TemplateFile, local_name, sources
from fauds.captions.templates import Templates
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import Words, global_texts
from fauds.captions.yamlread import Text, broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, STATES

_SAMPLE = 400  # random combinations, beside all single ones and pairs
_ENOUGH = 20  # problems of one kind after which a sampling rule stops


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong: where (path:line) and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """What `check` found: problems in the order of files, and how much was looked at."""

    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    sentences: int = 0
    texts: int = 0

    def take(self, errors: Iterable[DataError]) -> None:
        """Add errors as problems."""
        self.problems += [Problem(str(error.where), error.what) for error in errors]


def check(language: str, templates: Path | None = None) -> Report:
    """Look at all of a language's templates.

    Finds broken YAML and Jinja2, undefined variables, missing states and action units, texts
    with fewer paraphrases than others, empty and duplicate fragments, phrases that read back as
    something else, words outside the vocabulary.

    Args:
        language: a code such as "en".
        templates: a folder whose files override the shipped ones.

    Raises:
        UsageError: there is no such language.
        DataError: a file cannot be read.
    """
    files = sources(language, templates)
    report = Report(files=len(files))
    report.take(_form(files))
    # What follows needs templates that can be read and rendered.
    if not report.problems:
        made = Templates(language, files, trusted=templates is None)
        report.take(_paraphrases(made))
        rendering = list(_rendering(made))
        report.take(rendering)
        if not rendering:
            report.take(_duplicates(made, report))
            report.take(_joiners(made))
            report.take(_readings(made, report))
            report.take(_words(made))
    report.problems.sort()
    return report


def _form(files: dict[str, TemplateFile]) -> Iterator[DataError]:
    """Yield what is wrong with the YAML files as data."""
    yield from _table(files["language.yaml"], fragments.language_problems)
    yield from _table(files["global.yaml"], _face)
    for au in AUS:
        name = local_name(au)
        if name in files:
            yield from _table(files[name], _states)
        else:
            where = files["global.yaml"].path.parent / name
            yield DataError(f"{au} has no file.", where=where)


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
                yield broken(source, f"{au} alone has no fragment.")


def _states(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    yield from fragments.state_problems(source, table)
    for state in STATES:
        if state not in table:
            yield broken(source, f"The state {state!r} is missing.")


def _paraphrases(made: Templates) -> Iterator[DataError]:
    """Yield texts with fewer paraphrases than others of the language."""
    local = [(local_name(au), item) for au in AUS for item in made.states(au).items()]
    says = [(name, state, len(said), said[0][0].line) for name, (state, said) in local]
    whole = [
        ("nothing", made.whole.nothing),
        *(("+".join(sorted(u.aus)), u.say) for u in made.units),
    ]
    says += [("global.yaml", name, len(say), say[0].line) for name, say in whole]
    most = max(count for _, _, count, _ in says)
    for name, what, count, line in says:
        if count < most:
            yield broken(made.files[name], f"{what} has {count} of {most} paraphrases.", line)


def _rendering(made: Templates) -> Iterator[DataError]:
    """Yield what cannot be rendered, each once."""
    seen: set[tuple[str, str]] = set()
    for render in _renderings(made):
        try:
            render()
        except LimitError as error:
            # Every further text would take as long.
            yield error
            return
        except DataError as error:
            if (error.what, str(error.where)) not in seen:
                seen.add((error.what, str(error.where)))
                yield error


def _renderings(made: Templates) -> Iterator[Callable[[], str]]:
    for au in AUS:
        for state, paraphrases in made.states(au).items():
            for variant in range(len(paraphrases)):
                yield partial(made.local, au, state, variant)
    for sex in SUBJECT_WORDS:
        for say in _says(made):
            for variant in range(len(say)):
                yield partial(made.said, say, sex, variant)
        yield partial(made.face, AUS, sex)
        yield partial(made.face, (), sex)


def _says(made: Templates) -> list[tuple[Text, ...]]:
    return [made.whole.nothing, *(unit.say for unit in made.units)]


def _duplicates(made: Templates, report: Report) -> Iterator[DataError]:
    """Yield fragments that another place has too, in any spelling."""
    parser = Parser(made)
    first: dict[Fragment, str] = {}
    for source, text, rendered in _rendered(made):
        report.sentences += 1
        words = parser.known.trimmed(rendered)
        if not words:
            yield broken(source, f"The fragment {str(text)!r} holds no word.", text.line)
        elif words in first:
            what = f"The fragment {str(text)!r} is said before, at {first[words]}."
            yield broken(source, what, text.line)
        else:
            first[words] = source.at(text.line)


def _joiners(made: Templates) -> Iterator[DataError]:
    """Yield fragments of faces that hold what global.j2 puts between fragments."""
    known = Parser(made).known
    for source, text, rendered in _rendered(made):
        words = known.trimmed(rendered)
        runs = {words[at : at + n] for n in known.glue_lengths for at in range(len(words))}
        held = sorted(known.glue & runs) + sorted((word,) for word in known.marks & set(words))
        if held and source.name == "global.yaml":
            what = (
                f"The fragment {str(text)!r} holds {known.text(held[0])!r}, which joins fragments."
            )
            yield broken(source, what, text.line)


def _rendered(made: Templates) -> Iterator[tuple[TemplateFile, Text, str]]:
    """Yield every fragment once: its file, its source text, and rendered for no known sex."""
    for au in AUS:
        source = made.files[local_name(au)]
        for state, paraphrases in made.states(au).items():
            for variant, sentences in enumerate(paraphrases):
                yield from (
                    (source, text, rendered)
                    for text, rendered in zip(
                        sentences, made.sentences(au, state, variant), strict=True
                    )
                )
    for say in _says(made):
        for variant, text in enumerate(say):
            yield made.files["global.yaml"], text, made.said(say, "unknown", variant)


def _readings(made: Templates, report: Report) -> Iterator[DataError]:
    """Yield texts that read back as something else than what they were made from."""
    parser = Parser(made)
    for au in AUS:
        source = made.files[local_name(au)]
        for state, paraphrases in made.states(au).items():
            for variant, sentences in enumerate(paraphrases):
                text = made.local(au, state, variant)
                read = parser(text)
                report.texts += 1
                if read != _meant_local(au, state):
                    yield broken(source, _misread(f"{au} {state}", read), sentences[0].line)
                elif not all(said in text for said in made.sentences(au, state, variant)):
                    what = f"{au} {state}: local.j2 leaves a sentence out."
                    yield broken(source, what, sentences[0].line)
    wrong = (error for error in _face_readings(made, parser, report) if error)
    yield from islice(wrong, _ENOUGH)


def _face_readings(made: Templates, parser: Parser, report: Report) -> Iterator[DataError | None]:
    source = made.files["global.yaml"]
    variants = made.paraphrases(AUS, STATES)
    units = {unit.aus for unit in made.units}
    for number, active in enumerate(_combinations(made)):
        # A fragment's words differ by sex, what joins fragments does not: sexes take turns.
        alone = active in units or not active
        for sex in SUBJECT_WORDS if alone else [SUBJECT_WORDS[number % len(SUBJECT_WORDS)]]:
            for variant in range(variants):
                report.texts += 1
                text = made.face(active, sex, variant)
                read = parser(text)
                if read == _meant_face(active):
                    yield None
                else:
                    line = next((u.line for u in made.units if u.aus <= active), None)
                    name = "+".join(sorted(active)) or "nothing"
                    yield broken(source, _misread(f"{name} ({text!r})", read), line)


def _combinations(made: Templates) -> list[frozenset[str]]:
    drawn = random.Random(0)
    sampled = [drawn.sample(AUS, drawn.randint(3, 12)) for _ in range(_SAMPLE)]
    units = [unit.aus for unit in made.units]
    few = [c for size in range(3) for c in combinations(AUS, size)]
    return list(dict.fromkeys([*map(frozenset, few), *units, *map(frozenset, sampled)]))


def _meant_local(au: str, state: str) -> Parsed:
    degree = {au: state} if state in STATES[2:] else {}
    return Parsed({au: "active" if state != STATES[0] else state}, degree)


def _meant_face(active: frozenset[str]) -> Parsed:
    states = dict.fromkeys(sorted(active), "active") or dict.fromkeys(AUS, "inactive")
    return Parsed(states, {})


def _misread(meant: str, read: Parsed) -> str:
    said = [f"{au} {read.degrees.get(au, state)}" for au, state in read.states.items()]
    said += [f"{au} contradicted" for au in read.contradicted]
    said += [f"not understood: {piece!r}" for piece in read.unknown]
    return f"{meant} reads back as {', '.join(said[:8]) or 'nothing'}."


def _words(made: Templates) -> Iterator[DataError]:
    """Yield combinations with a word that the vocabulary of fewer ones lacks."""
    tokenise = Tokeniser(made.language)
    # What joins fragments is the same for all paraphrases: the first shows it.
    known = Words.of(global_texts(AUS, made), tokenise).index().keys()
    source, drawn = made.files["global.yaml"], random.Random(1)
    for _ in range(_SAMPLE):
        active = drawn.sample(AUS, drawn.randint(3, 12))
        text = made.face(active, drawn.choice(SUBJECT_WORDS))
        lacking = [token for token in tokenise(text) if token not in known]
        if lacking:
            what = f"{'+'.join(sorted(active))}: {lacking[0][0]!r} is outside the vocabulary."
            yield broken(source, what)
            return
