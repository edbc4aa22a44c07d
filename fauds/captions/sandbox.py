"""Rendering Jinja2 in a sandbox, with errors that name the file and the line."""

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
"""Characters that a rendered text may have: a description has some hundred."""


_LONGEST_MESSAGE = 300


class Sandbox:
    """Renders the templates of one language, and the fragments that contain Jinja2.

    A template sees its variables and the other .j2 files of its language, by name: no files,
    no Python attributes. A variable that is not there is an error, never an empty text. What it
    makes depends on its variables alone: no chance, and nothing kept from one text to the next.
    """

    def __init__(self, files: dict[str, TemplateFile]) -> None:
        self._files = files
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._source), undefined=StrictUndefined, auto_reload=False
        )
        for name in set(self._environment.globals) - {"namespace", "range"}:
            del self._environment.globals[name]
        # One draws lots; the other loads a module when no file can be opened any more.
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
        """Raise where a template imports: Jinja2 keeps an imported module's state."""
        tree = self._environment.parse(text, name, path)
        for node in tree.find_all((nodes.Import, nodes.FromImport)):
            what = "templates may not import: use include, or a macro in the same file"
            raise TemplateSyntaxError(what, node.lineno, name, path)

    def file(self, name: str, **variables: Any) -> str:
        """Render a .j2 file; runs of blanks and line ends become one blank.

        Raises:
            DataError: the template is broken, or makes an empty or an endless text.
        """
        path = str(self._files[name].path)
        try:
            if name not in self._templates:
                self._templates[name] = self._environment.get_template(name)
            text = " ".join(self._templates[name].render(variables).split())
        # A template can raise anything that Python expressions can, from ZeroDivisionError on.
        except Exception as error:
            raise _error(error, path, self._line(error) or path) from error
        if not text:
            raise DataError(
                f"{name} made an empty description.", where=path, hint=f"it was given {variables}"
            )
        return _short(text, name, path)

    def fragment(self, text: str, where: str, **variables: Any) -> str:
        """Render a fragment of a YAML file that lies at `where`; errors as in `file`."""
        try:
            if "{" in text:
                if text not in self._templates:
                    self._refuse_imports(text)
                    self._templates[text] = self._environment.from_string(text)
                text = self._templates[text].render(variables)
        except Exception as error:  # as above
            raise _error(error, f"fragment {text!r}", where) from error
        if not text.strip():
            raise DataError("A fragment is empty.", where=where, hint="say something, or remove it")
        return _short(text, "A fragment", where)

    def _line(self, error: Exception) -> str | None:
        """Return file:line of the innermost template line that an error came through."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename or error.name}:{error.lineno}"
        paths = {str(source.path) for source in self._files.values()}
        frames = [
            (frame.f_code.co_filename, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename in paths
        ]
        return f"{frames[-1][0]}:{frames[-1][1]}" if frames else None


def _short(text: str, name: str, where: str) -> str:
    if len(text) > LONGEST_RENDERING:
        raise DataError(
            f"{name} made a text of {len(text):,} characters.",
            where=where,
            hint=f"a description has at most {LONGEST_RENDERING:,}",
        )
    return text


def _error(error: Exception, what: str, where: str) -> DataError:
    name = what.rsplit("/", 1)[-1]
    message = str(error).rstrip(".")
    message = message if len(message) < _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
    if isinstance(error, SecurityError):
        return DataError(
            f"{name} reaches for what templates may not use: {message}.",
            where=where,
            hint="use only the variables and filters that the shipped templates use",
        )
    if isinstance(error, TemplateNotFound):
        return DataError(
            f"{name} includes {message}, which is not there.",
            where=where,
            hint="a template may include the .j2 files of its own language folder",
        )
    if isinstance(error, UndefinedError):
        hint = "check the spelling; the head of the shipped file lists what it is given"
        return DataError(f"{name} uses something undefined: {message}.", where=where, hint=hint)
    if isinstance(error, MemoryError):
        return DataError(
            f"{name} needs more memory than templates may use.",
            where=where,
            hint="a description is a few sentences: look for a loop or a product that grows",
        )
    kind = "is broken" if isinstance(error, TemplateError) else "failed"
    return DataError(
        f"{name} {kind}: {type(error).__name__}: {message}.",
        where=where,
        hint="mend the template; the shipped one of the same name shows the form",
    )
