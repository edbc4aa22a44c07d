"""The words of CONTRIBUTING.md's table (section Style) in names, docstrings, comments and --help.

Only names that a file defines are checked: a name that it reads, such as pathlib's ``path.stem``,
belongs to the module that defines it. Two words of the table cannot be judged without their context
and are left to the reader: "weights" is right for a model's parameters, "pass" for a forward pass.

``python -m tests.test_words_used fauds/report tests/report`` lists the hits in some folders only.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("fauds", "tests")


class Word(NamedTuple):
    """A row of the table, as regular expressions.

    Attributes:
        write: what to write instead.
        names: what no name may hold, in snake case; it matches whole words.
        variables: what no variable, parameter or field may hold, besides `names`.
        prose: what no docstring, comment or help text may hold.
    """

    write: str
    names: str = ""
    variables: str = ""
    prose: str = ""


WORDS = (
    Word("dataset, release, raw files", names="distributions?", prose="distributions?"),
    Word(
        "synthetic",
        names="made_up|drawn_(?:faces?|labels?|data|subjects?|people)",
        variables="drawn",
        prose="made[- ]up|drawn (?:faces?|labels?|data|subjects?|people)",
    ),
    Word("backbone", names="stems?", prose="stems?"),
    Word("log, logger", names="journals?", prose="journals?"),
    Word(
        "evaluate after each epoch",
        names="watch(?:ed|es|ing)?",
        prose="watch(?:ed|es|ing)?",
    ),
    Word(
        "features, attention maps",
        names="looks?_at|looked_at",
        variables="seen|looks|looked",
        prose="(?:where|what) (?:it|the model|(?:a|its|each) branch) look(?:s|ed)(?: at)?",
    ),
    Word("image, video, media files", names="pictures?|footage", prose="pictures?|footage"),
    Word(
        "external predictions",
        names="made_elsewhere|predicted_elsewhere",
        prose="(?:predictions?|figures?|crops?|faces|results?) made elsewhere|predicted elsewhere",
    ),
    Word("missing, not coded", prose="what is not there|(?:is|are) not there"),
    Word("what it holds: model, results, options", variables="found|said|given|there"),
)

EXCEPTIONS = {
    "stem": "a file's name without its suffix, as in pathlib; and VL-FAU's state-dict key",
    "seen": "Explanation.seen is public: the part of the image that the model was shown",
    "drawn": "statistics: what was sampled at random",
    "watch_test": "the key of the setting, which outlives any renaming in the code",
    "Footage": "the class that Reader.footage returns, public as it is",
    "footage": "Reader.footage is a public interface that plugins implement",
    "pictures": "the option --pictures of fauds synth, whose parameter is called by its name",
}
"""Names that are allowed although they hold a word of the table, with the reason."""

_STATISTICS = (
    r"(?:normal|beta|Poisson|binomial|uniform|bootstrap|null|sampling|joint|marginal|probability)"
    r" distributions?|distributions? of (?:\w+ ){0,3}(?:ages?|counts?|differences?|intensity"
    r"|intensities|lengths?|means?|scores?|statistics?|variables?|values)"
)
PROSE_EXCEPTIONS = {
    "stem": "a file's name without its suffix, as in pathlib; and VL-FAU's state-dict key",
    "seen": "Explanation.seen is public: the part of the image that the model was shown",
    "drawn": "statistics: what was sampled at random",
    r"watch_test": EXCEPTIONS["watch_test"],
    r"--pictures|pictures=|`+pictures`+|\n +pictures:": EXCEPTIONS["pictures"],
    r"\bfootage\(|`+footage`+|\.footage\b": EXCEPTIONS["footage"],
    r"\.stem\b|`+stem`+|\bstem\.body\b": "the attribute of pathlib's paths; a state-dict key",
    _STATISTICS: "statistics: the distribution of a random variable",
}
"""Phrases (regular expressions) that are allowed, with the reason."""


class Hit(NamedTuple):
    """A word of the table that a file uses."""

    path: str
    line: int
    kind: str
    text: str
    write: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} {self.text!r}; write: {self.write}"


def test_code_uses_the_words_of_the_style_table() -> None:
    hits = list(hits_of(python_files(ROOT / folder for folder in FOLDERS)))
    assert not hits, "\n" + "\n".join(map(str, hits))


@pytest.mark.parametrize(
    ("source", "hits"),
    [
        ("found = 1", [(1, "name", "found")]),
        ("def f(*, said_words): ...", [(1, "name", "said_words")]),
        ("class Pictures: ...", [(1, "name", "Pictures")]),
        ("import a as drawn", []),
        ("def test_it_is_said_there(): ...", []),
        ("name = path.stem\nwatch_test = True", []),
        ('"""Read a\ndistribution."""', [(2, "docstring", "distribution")]),
        ('"""The distribution of the scores, as --pictures writes them."""', []),
        ('"""Write.\n\nArgs:\n    pictures: the pictures."""', [(4, "docstring", "pictures")]),
        ("option(help='Write no '\n  'pictures.')", [(1, "help", "pictures")]),
        ("x = 1\n# Labels are made up.", [(2, "comment", "made up")]),
    ],
)
def test_words_are_reported_with_their_lines(source: str, hits: list[tuple[int, str, str]]) -> None:
    assert [(hit.line, hit.kind, hit.text) for hit in _hits("module.py", source)] == hits


def python_files(folders: Iterable[Path]) -> list[Path]:
    """Return the Python files of folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def hits_of(paths: Iterable[Path]) -> Iterator[Hit]:
    """Yield every use of a word of the table, file by file and line by line."""
    for path in paths:
        if path == Path(__file__).resolve():
            continue
        yield from _hits(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def _hits(path: str, source: str) -> list[Hit]:
    tree = ast.parse(source)
    return sorted({*_hits_in_names(path, tree), *_hits_in_prose(path, _prose(tree, source))})


def _hits_in_names(path: str, tree: ast.Module) -> Iterator[Hit]:
    for line, name, is_variable in _defined(tree):
        for write in _replacements(name, is_variable):
            yield Hit(path, line, "name", name, write)


@cache
def _replacements(name: str, is_variable: bool) -> list[str]:
    """Return what to write instead of the words that a name must not hold."""
    if name in EXCEPTIONS:
        return []
    banned = [(word, filter(None, (word.names, is_variable and word.variables))) for word in WORDS]
    return [
        word.write
        for word, patterns in banned
        if any(re.search(rf"(?:^|_)(?:{one})(?=_|\d|$)", _snake(name)) for one in patterns)
    ]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _defined(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and name of everything a module defines, and whether it is a variable."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name, False
            case ast.arg():
                yield node.lineno, node.arg, True
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id, True
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr, True
            case ast.Import() | ast.ImportFrom():
                yield from ((node.lineno, one.asname, True) for one in node.names if one.asname)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name, True


def _spaced(pattern: str) -> str:
    """Let the spaces of a pattern match a line break and the indent or "#" after it."""
    return pattern.replace("[- ]", r"(?:-|\s)\s*").replace(" ", r"\s+(?:#\s*)?")


_PATTERNS = [
    (re.compile(rf"\b(?:{_spaced(word.prose)})\b", re.IGNORECASE), word.write)
    for word in WORDS
    if word.prose
]
_ANY = re.compile("|".join(pattern.pattern for pattern, _ in _PATTERNS), re.IGNORECASE)
_ALLOWED = re.compile("|".join(map(_spaced, PROSE_EXCEPTIONS)), re.IGNORECASE)


def _hits_in_prose(path: str, texts: Iterable[tuple[int, str, str]]) -> Iterator[Hit]:
    for first, kind, text in texts:
        if _ANY.search(text):
            checked = _ALLOWED.sub(lambda match: "\n" * match.group().count("\n"), text)
            for pattern, write in _PATTERNS:
                for match in pattern.finditer(checked):
                    line = first + checked[: match.start()].count("\n")
                    yield Hit(path, line, kind, " ".join(match.group().split()), write)


def _prose(tree: ast.Module, source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, kind and text of docstrings, help texts of options, and comments."""
    for node in ast.walk(tree):
        match node:
            # Also the strings under constants and fields, which document these.
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, "docstring", text
            case ast.keyword(arg="help" | "short_help" | "epilog"):
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.lineno, "help", part.value
    if not _ANY.search("\n".join(line for line in source.splitlines() if "#" in line)):
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], "comment", token.string


if __name__ == "__main__":
    for hit in hits_of(python_files(ROOT / folder for folder in sys.argv[1:] or FOLDERS)):
        print(hit)
