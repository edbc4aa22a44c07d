"""Renders Jinja2 templates in a sandbox; errors name the template's file and line."""

import traceback
from typing import Any

from jinja2 import (
    FunctionLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    nodes,
)
from jinja2.exceptions import SecurityError, TemplateNotFound, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fauds.captions.template_files import TemplateFile
from fauds.errors import DataError

LONGEST_RENDERING = 10_000
"""Maximum length of a rendered text in characters; a description has a few hundred."""


_LONGEST_MESSAGE = 300


class Sandbox:
    """Renders one language's .j2 files, and texts of its YAML files that contain Jinja2.

    A template can use its variables and include the other .j2 files of its language, but it cannot
    open files or read Python attributes. An undefined variable is an error, not an empty text. The
    rendered text depends on the variables only: randomness and state between renderings are
    disabled.

    Args:
        files: the template files of the language, by name.
    """

    def __init__(self, files: dict[str, TemplateFile]) -> None:
        self._files = files
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._source), undefined=StrictUndefined, auto_reload=False
        )
        for name in set(self._environment.globals) - {"namespace", "range"}:
            del self._environment.globals[name]
        # random would give different texts; pprint loads a module when files cannot be opened.
        for name in ("random", "pprint"):
            del self._environment.filters[name]
        self._templates: dict[str, Template] = {}

    def _source(self, name: str) -> tuple[str, str, None] | None:
        source = self._files.get(name)
        if source is None:
            return None
        self._refuse_imports(source.text, name, str(source.path))
        return source.text, str(source.path), None

    def _refuse_imports(self, text: str, name: str | None = None, path: str | None = None) -> None:
        """Raise `TemplateSyntaxError` if a template imports another template.

        Jinja2 keeps the state of an imported template between renderings, so a text could depend on
        what was rendered before.

        Args:
            text: the content of the template.
            name: the template's name, for the error.
            path: the template's path, for the error.
        """
        tree = self._environment.parse(text, name, path)
        for node in tree.find_all((nodes.Import, nodes.FromImport)):
            message = "templates may not import: use include, or a macro in the same file"
            raise TemplateSyntaxError(message, node.lineno, name, path)

    def file(self, name: str, **variables: Any) -> str:
        """Render a .j2 file and return its text, with each run of white space as one blank.

        Args:
            name: the name of the file within its language, such as local.j2.
            variables: the variables of the template.

        Raises:
            DataError: the template is broken, or its text is empty or too long.
        """
        path = str(self._files[name].path)
        try:
            if name not in self._templates:
                self._templates[name] = self._environment.get_template(name)
            text = " ".join(self._templates[name].render(variables).split())
        # A template can raise any error of Python expressions, such as ZeroDivisionError.
        except Exception as error:
            raise _error(error, path, self._line(error) or path) from error
        if not text:
            raise DataError(
                f"{name} rendered an empty description.",
                where=path,
                hint=f"let the template return a text for these variables: {variables}",
            )
        return _checked_length(text, name, path)

    def fragment(self, text: str, where: str, **variables: Any) -> str:
        """Render a fragment (a piece of text from a YAML file) and return its text.

        Args:
            text: the fragment as it is written in the file, with or without Jinja2.
            where: the file and line of the fragment, for errors.
            variables: the variables that the fragment can use.

        Raises:
            DataError: the fragment is broken, or its text is empty or too long.
        """
        try:
            if "{" in text:
                if text not in self._templates:
                    self._refuse_imports(text)
                    self._templates[text] = self._environment.from_string(text)
                text = self._templates[text].render(variables)
        except Exception as error:  # any error, as in `file`
            raise _error(error, f"fragment {text!r}", where) from error
        if not text.strip():
            raise DataError(
                "A fragment is empty.", where=where, hint="write a text, or remove this entry"
            )
        return _checked_length(text, "A fragment", where)

    def _line(self, error: Exception) -> str | None:
        """Return the place where an error occurred in a template, path:line; None if not known."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename or error.name}:{error.lineno}"
        paths = {str(source.path) for source in self._files.values()}
        frames = [
            (frame.f_code.co_filename, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename in paths
        ]
        return f"{frames[-1][0]}:{frames[-1][1]}" if frames else None


def _checked_length(text: str, name: str, where: str) -> str:
    if len(text) > LONGEST_RENDERING:
        raise DataError(
            f"{name} rendered a text of {len(text):,} characters, which is too long.",
            where=where,
            hint=f"shorten the text to at most {LONGEST_RENDERING:,} characters",
        )
    return text


def _error(error: Exception, source: str, where: str) -> DataError:
    name = source.rsplit("/", 1)[-1]
    message = str(error).rstrip(".")
    message = message if len(message) < _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
    if isinstance(error, SecurityError):
        return DataError(
            f"{name} uses something that templates may not use: {message}.",
            where=where,
            hint="use only the variables and filters that the shipped templates use",
        )
    if isinstance(error, TemplateNotFound):
        return DataError(
            f"{name} includes {message}, which does not exist.",
            where=where,
            hint="a template may include the .j2 files of its own language folder",
        )
    if isinstance(error, UndefinedError):
        hint = "check the spelling; the comment at the top of the shipped file lists the variables"
        return DataError(f"{name} uses something undefined: {message}.", where=where, hint=hint)
    if isinstance(error, MemoryError):
        return DataError(
            f"{name} needs more memory than templates may use.",
            where=where,
            hint="look for a loop or a product whose text grows; a description is a few sentences",
        )
    kind = "is broken" if isinstance(error, TemplateError) else "failed"
    return DataError(
        f"{name} {kind}: {type(error).__name__}: {message}.",
        where=where,
        hint="correct the template; the shipped file of the same name shows the form",
    )
