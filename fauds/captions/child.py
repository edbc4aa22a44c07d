"""Rendering users' templates in a child process, with limits of time and memory.

The sandbox keeps a template from files and attributes; it cannot keep it from running or growing
without end. So templates that fauds does not ship are rendered by a child that the system stops:
an alarm before every rendering, a limit on its memory, no files to open. The two processes speak
JSON, a line a message, so that nothing that the child says can run code in the parent.
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
"""Time for one rendering, which takes about 0.0001 seconds."""

MEGABYTES = 256
"""Memory that templates may use beyond what the child itself needs."""


# The parent's own fauds, wherever it is from, and nothing else from that folder.
_START = """
import sys
sys.path.insert(0, sys.argv[1])
import fauds
del sys.path[0]
from fauds.captions.child import main
main()
"""


class LimitError(DataError):
    """A template ran into a limit of time or memory, or its process ended."""


class ChildSandbox:
    """Renders like `Sandbox`, in a child process that starts with the first rendering."""

    def __init__(self, files: dict[str, TemplateFile]) -> None:
        self._files = files
        self._process: subprocess.Popen[str] | None = None
        self._stop: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def file(self, name: str, **variables: Any) -> str:
        """Render a .j2 file; as `Sandbox.file`, and a LimitError where a limit is reached."""
        return self._ask(name, str(self._files[name].path), ["file", name, variables])

    def fragment(self, text: str, where: str, **variables: Any) -> str:
        """Render a fragment; as `Sandbox.fragment`, and a LimitError where a limit is reached."""
        if "{" not in text and text.strip():
            return text
        return self._ask(f"fragment {text!r}", where, ["fragment", text, where, variables])

    def _ask(self, name: str, where: str, message: list[Any]) -> str:
        with self._lock:
            try:
                kind, *said = self._exchange(name, where, message)
            # After Ctrl-C an answer may be on its way, which is not the next question's.
            except BaseException:
                self._stop()
                self._process = None
                raise
        if kind == "error":
            raise DataError(said[0], where=said[1], hint=said[2])
        rendered: str = said[0]
        return rendered

    def _exchange(self, name: str, where: str, message: list[Any]) -> list[Any]:
        process = self._process or self._start()
        answer = _answer(process, message)
        if answer is None:
            raise _ended(name, where, process.wait())
        return answer

    def _start(self) -> "subprocess.Popen[str]":
        # -P: what lies in the current folder is nobody's module.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._process = process
        self._stop = weakref.finalize(self, _stop, process)
        files = [[each.name, str(each.path), each.text] for each in self._files.values()]
        hello = _answer(process, [SECONDS, files])
        if hello is None:
            process.kill()
            said = _pipe(process.stderr).read().strip().splitlines() or ["no reason given"]
            raise LimitError(
                f"The process that renders templates could not start: {said[-1]}.",
                where=sys.executable,
                hint="it imports jinja2 and this fauds; see what else PYTHONPATH brings in",
            )
        return process


def _answer(process: "subprocess.Popen[str]", message: list[Any]) -> list[Any] | None:
    """Send a message and return the answer; None where the process ended."""
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
    """Return a stream that the process was started with."""
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def _ended(name: str, where: str, status: int) -> LimitError:
    if status == -signal.SIGALRM:
        return LimitError(
            f"{name} did not end within {SECONDS:g} seconds.",
            where=where,
            hint="look for loops within loops; a description takes far less than a second",
        )
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return LimitError(
        f"The process that rendered {name} {how}.",
        where=where,
        hint=f"if nobody stopped it: templates get {MEGABYTES} MB of memory, look for what grows "
        "without end",
    )


def main() -> None:
    """Answer the parent's messages until it goes."""
    # Loaded with the first template and the first error, when no file can be opened any more.
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
    # The parent hears of Ctrl-C too, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if used:
        allowed = used + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def _address_space() -> int:
    """Return the bytes of address space in use; 0 where the system does not say (macOS)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
