"""Reads the YAML files of templates, and records the line of every text.

A key that occurs twice in a mapping is an error, unlike in PyYAML.
"""

from typing import TYPE_CHECKING, Any

import yaml

from fauds.captions.template_files import TemplateFile
from fauds.errors import DataError

# The C loader is ten times as fast; the Python loader is for builds of PyYAML without libyaml.
if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST = 8  # levels of nested lists and mappings; the shipped files have four


class Text(str):
    """A string that was read from a YAML file, with its line number.

    Attributes:
        line: the string's line in the file, from 1.
    """

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
                problem="a key is a list or a mapping, not a text", problem_mark=key.start_mark
            )
        if key.value in keys:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark
            )
        keys.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(source: TemplateFile) -> dict[str, Any]:
    """Return the content of a YAML file as a dict; its strings are `Text`, which have a line.

    Raises:
        DataError: the file is not valid YAML or not a mapping; the message names the line.
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
        raise broken(source, f"{source.name} is not a mapping of keys to values.")
    return value


def _check_shape(text: str) -> None:
    """Raise an error if a YAML text has references (``*name``) or is nested too deeply.

    The check comes before loading, because loading is recursive, and because a few lines with
    references can expand to any amount of data.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise _yaml_error(f"*{event.anchor} is a reference: write the text out instead", event)
        if depth > _DEEPEST:
            raise _yaml_error(f"it is nested too deeply (more than {_DEEPEST} levels)", event)


def _yaml_error(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    # The stubs do not list the marks of the C parser among the types of problem_mark.
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


def broken(source: TemplateFile, what: str, line: int | None = None) -> DataError:
    """Return (but do not raise) the error for a template file with invalid content.

    Args:
        source: the template file.
        what: a sentence that describes the problem.
        line: the line of the problem, from 1; None if not known.
    """
    hint = "correct the file; the file of the same name in templates/en/ shows the form"
    return DataError(what, where=source.at(line), hint=hint)
