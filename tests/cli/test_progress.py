"""Lines and bars on a terminal, lines alone elsewhere, nothing from those that follow."""

import io
import re

import pytest

from fauds.cli.progress import ProgressBars

LONG = "fold 1, epoch 2 of 15: [bold]loss[/bold] 3.25 :smile: " + "x" * 200
"""Longer than a terminal is wide, with what a terminal library may take for its own."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that a person sees: carriage returns, cursor up and erased lines obeyed."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|.|\n", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part.endswith("A") and part[0] == "\x1b":
                row -= int(part[2:-1])
            elif part == "\x1b[2K":
                lines[row] = ""
            elif part[0] != "\x1b":
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def work(progress: ProgressBars) -> None:
    progress.say("before")
    with progress:
        with progress.bar("training", 10) as advance:
            advance(4)
            progress.say(LONG)
            advance(6)
        with progress.counter("cropping") as done:
            done(1, 3)
            progress.say("after")


@pytest.mark.parametrize("forced", [False, True])
def test_outside_a_terminal_messages_are_plain_text_without_bars(
    forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    work(ProgressBars(stream))
    assert stream.getvalue() == f"before\n{LONG}\nafter\n"


def test_every_message_is_written_at_once() -> None:
    class Slow(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Slow()
    with ProgressBars(stream) as progress:
        progress.say("epoch 1")
        assert stream.flushed == "epoch 1\n"


def test_on_a_terminal_lines_stand_above_the_bar_and_stay() -> None:
    terminal = Terminal()
    with ProgressBars(terminal) as progress, progress.bar("training", 10) as advance:
        advance(4)
        progress.say("epoch 1")
        progress.say("epoch 2")
        shown = [line for line in terminal.screen() if line]
        assert shown[:2] == ["epoch 1", "epoch 2"]
        assert len(shown) == 3 and re.match(r"training .*/10 ", shown[2])
    assert [line for line in terminal.screen() if line] == ["epoch 1", "epoch 2"]


def test_on_a_terminal_a_long_line_is_left_as_it_is() -> None:
    terminal = Terminal()
    work(ProgressBars(terminal))
    assert [line for line in terminal.screen() if line] == ["before", LONG, "after"]


def test_further_processes_show_nothing(capfd: pytest.CaptureFixture) -> None:
    work(ProgressBars(None))
    assert capfd.readouterr() == ("", "")
