"""Reading fragment YAML: every text keeps its line, and a key given twice is an error."""

from typing import TYPE_CHECKING, Any

import yaml

from fauds.captions.template_files import TemplateFile
from fauds.errors import DataError

# The C loader reads a language ten times as fast; the plain one is for builds without libyaml.
if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST = 8  # lists and mappings within each other; a language's files have four


class Text(str):
    """A string of a YAML file that knows its line there (from 1)."""

    line: int = 0


class _Loader(_Base):
    pass


def _text(loader: _Loader, node: yaml.ScalarNode) -> Text:
    text = Text(loader.construct_scalar(node))
    text.line = node.start_mark.line + 1
    return text


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: set[Any] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                problem="a key is not a text", problem_mark=key.start_mark
            )
        if key.value in keys:
            raise yaml.constructor.ConstructorError(
                problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
            )
        keys.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(source: TemplateFile) -> dict[str, Any]:
    """Return what a fragment file says; its strings are `Text`.

    Raises:
        DataError: it is not YAML, or not a mapping; names the line.
    """
    try:
        _check_shape(source.text)
        value = yaml.load(source.text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise broken(
            source,
            f"{source.name} is not valid YAML: {getattr(error, 'problem', None) or error}.",
            None if mark is None else mark.line + 1,
        ) from error
    if not isinstance(value, dict):
        raise broken(source, f"{source.name} holds no mapping.")
    return value


def _check_shape(text: str) -> None:
    """Raise where YAML is nested deeply or refers to itself, before anything is built from it.

    Building is recursive, and a few lines of references can stand for any amount of data.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise _refused(f"*{event.anchor} refers to another place: write the text out", event)
        if depth > _DEEPEST:
            raise _refused("it is nested too deeply", event)


def _refused(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    # The stubs leave out that an error also takes the marks of the C parser.
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


def broken(source: TemplateFile, what: str, line: int | None = None) -> DataError:
    """Return the error for a template file that does not hold what it should."""
    hint = "mend the file; templates/en/ shows the form"
    return DataError(what, where=source.at(line), hint=hint)
