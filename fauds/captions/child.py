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
import weakref
from pathlib import Path
from typing import Any

from fauds.captions.sandbox import Sandbox
from fauds.captions.sources import Source
from fauds.errors import DataError

SECONDS = 5.0
"""Time for one rendering, which takes about 0.0001 seconds."""

MEGABYTES = 256
"""Memory that templates may use beyond what the child itself needs."""


class ChildSandbox:
    """Renders like `Sandbox`, in a child process that starts with the first rendering."""

    def __init__(self, files: dict[str, Source]) -> None:
        self._files = files
        self._process: subprocess.Popen[str] | None = None

    def file(self, name: str, **variables: Any) -> str:
        """Render a .j2 file; as `Sandbox.file`, and a DataError where a limit is reached."""
        return self._ask(name, str(self._files[name].path), ["file", name, variables])

    def fragment(self, text: str, where: str, **variables: Any) -> str:
        """Render a fragment; as `Sandbox.fragment`, and a DataError where a limit is reached."""
        if "{" not in text and text.strip():
            return text
        return self._ask(f"fragment {text!r}", where, ["fragment", text, where, variables])

    def _ask(self, name: str, where: str, message: list[Any]) -> str:
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(message), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer.endswith("\n"):
            self._process = None
            raise _ended(name, where, process.wait())
        kind, *said = json.loads(answer)
        if kind == "error":
            raise DataError(said[0], where=said[1], hint=said[2])
        return said[0]

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "fauds.captions.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        weakref.finalize(self, _stop, process)
        files = [[each.name, str(each.path), each.text] for each in self._files.values()]
        assert process.stdin is not None
        print(json.dumps([SECONDS, files]), file=process.stdin, flush=True)
        return process


def _stop(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _ended(name: str, where: str, status: int) -> DataError:
    if status == -signal.SIGALRM:
        return DataError(
            f"{name} did not end within {SECONDS:g} seconds.",
            where=where,
            hint="look for loops within loops; a description takes far less than a second",
        )
    return DataError(
        f"The process that rendered {name} ended (status {status}).",
        where=where,
        hint=f"templates get {MEGABYTES} MB of memory and {SECONDS:g} seconds: look for what "
        "grows without end",
    )


def main() -> None:
    """Answer the parent's messages until it goes."""
    # Loaded with the first template and the first error, when no file can be opened any more.
    import encodings.unicode_escape  # noqa: F401

    import jinja2.debug  # noqa: F401

    seconds, files = json.loads(input())
    sandbox = Sandbox({name: Source(name, Path(path), text) for name, path, text in files})
    _limit()
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


if __name__ == "__main__":
    main()
