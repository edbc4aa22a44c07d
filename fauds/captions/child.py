"""Renders users' templates in a child process, with limits on time and memory.

The sandbox (`fauds.captions.sandbox`) denies Jinja2 templates access to files and to Python
attributes, but cannot stop a template that runs or grows without end. So templates that fauds does
not ship are rendered in a child process, with limits on the time of every rendering and on memory,
and without permission to open files. Parent and child exchange JSON, one message per line, so that
no answer of the child can run code in the parent.
"""

import contextlib
import json
import resource
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from fauds.captions.sandbox import Sandbox
from fauds.captions.template_files import TemplateFile
from fauds.errors import DataError

SECONDS = 5.0
"""Time limit for rendering one text, in seconds; rendering takes about 0.0001 seconds."""

MEGABYTES = 256
"""Memory in MiB that templates may use in addition to what the child process itself needs."""


# The child imports the same copy of fauds as its parent, and nothing else from that folder.
_START = """
import sys
sys.path.insert(0, sys.argv[1])
import fauds
del sys.path[0]
from fauds.captions.child import main
main()
"""


class LimitError(DataError):
    """A template exceeded the limit on time or memory, or the process that rendered it ended."""


class ChildSandbox:
    """Renders templates like `Sandbox`, in a child process started by the first rendering.

    Args:
        files: the template files of a language, by name.
    """

    def __init__(self, files: dict[str, TemplateFile]) -> None:
        self._files = files
        self._process: subprocess.Popen[str] | None = None
        self._stop: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def file(self, name: str, **variables: Any) -> str:
        """Render a .j2 file and return its text; arguments are those of `Sandbox.file`.

        Raises:
            DataError: see `Sandbox.file`.
            LimitError: the template exceeded the limit on time or memory, or the child process
                ended.
        """
        return self._ask(name, str(self._files[name].path), ["file", name, variables])

    def fragment(self, text: str, where: str, **variables: Any) -> str:
        """Render a fragment of a YAML file and return its text.

        Arguments are those of `Sandbox.fragment`, errors are those of `file`.
        """
        if "{" not in text and text.strip():
            return text
        return self._ask(f"fragment {text!r}", where, ["fragment", text, where, variables])

    def _ask(self, name: str, where: str, message: list[Any]) -> str:
        with self._lock:
            try:
                kind, *details = self._send(name, where, message)
            # After Ctrl-C the pipe may still hold an answer, which the next request must not read.
            except BaseException:
                self._stop()
                self._process = None
                raise
        if kind == "error":
            raise DataError(details[0], where=details[1], hint=details[2])
        rendered: str = details[0]
        return rendered

    def _send(self, name: str, where: str, message: list[Any]) -> list[Any]:
        process = self._process or self._start()
        answer = _answer(process, message)
        if answer is None:
            raise _ended(name, where, process.wait())
        return answer

    def _start(self) -> "subprocess.Popen[str]":
        # -P keeps Python from importing modules from the current folder.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._process = process
        self._stop = weakref.finalize(self, _stop, process)
        files = [[file.name, str(file.path), file.text] for file in self._files.values()]
        ready = _answer(process, [SECONDS, files])
        if ready is None:
            process.kill()
            lines = _pipe(process.stderr).read().strip().splitlines() or ["no error output"]
            raise LimitError(
                f"The process that renders templates could not start: {lines[-1]}.",
                where=sys.executable,
                hint="check that PYTHONPATH has no other versions of jinja2 and fauds, which the "
                "process imports",
            )
        return process


def _answer(process: "subprocess.Popen[str]", message: list[Any]) -> list[Any] | None:
    """Send a message to the child process and return its answer; None if the process ended."""
    try:
        print(json.dumps(message), file=process.stdin, flush=True)
        line = _pipe(process.stdout).readline()
    except BrokenPipeError:
        return None
    return json.loads(line) if line.endswith("\n") else None


def _stop(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            _pipe(pipe).close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe of a process (stdin, stdout or stderr) after checking that it is not None."""
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def _ended(name: str, where: str, status: int) -> LimitError:
    if status == -signal.SIGALRM:
        return LimitError(
            f"{name} did not end within {SECONDS:g} seconds.",
            where=where,
            hint="look for nested loops in the template; rendering takes far less than a second",
        )
    ending = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return LimitError(
        f"The process that rendered {name} {ending}.",
        where=where,
        hint=f"the template probably used more than the {MEGABYTES} MB of memory that it may use: "
        "look for a text that grows without end",
    )


def main() -> None:
    """Run the child process: answer each message with a rendered text until stdin is closed."""
    # Jinja2 loads these with the first template and the first error, when files cannot be opened.
    import encodings.unicode_escape  # noqa: F401

    import jinja2.debug  # noqa: F401

    seconds, files = json.loads(input())
    sandbox = Sandbox({name: TemplateFile(name, Path(path), text) for name, path, text in files})
    _limit()
    print(json.dumps(["ready"]), flush=True)
    for line in sys.stdin:
        call, *arguments, variables = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            answer = ["text", getattr(sandbox, call)(*arguments, **variables)]
        except DataError as error:
            answer = ["error", error.what, error.where, error.hint]
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(answer), flush=True)


def _limit() -> None:
    used = _address_space()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # The parent receives Ctrl-C too, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if used:
        allowed = used + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def _address_space() -> int:
    """Return the address space that this process uses, in bytes; 0 without /proc (macOS)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
