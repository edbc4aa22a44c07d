"""What ``fauds check`` prints."""

from typing import TYPE_CHECKING

from fauds.report.console import new_console, new_table

if TYPE_CHECKING:
    from fauds.faces.check import Check

_NOT_KNOWN = "-"


def show_check(dataset: str, check: "Check") -> None:
    """Print what was found, what differs, what is missing, and what the steps need."""
    console = new_console()
    made_up = ", made up" if check.synthetic else ""
    console.print(f"{dataset} in {check.root}{made_up}", soft_wrap=True)
    groups = {
        "found": check.found,
        "differs from the published counts": check.differs,
        "missing": check.missing,
    }
    for head, lines in groups.items():
        console.print(f"\n{head}:{'' if lines else ' nothing'}")
        for line in lines:
            console.print(f"  {line}", soft_wrap=True)
    table = new_table("step", "time", "disk")
    for need in check.needs:
        table.add_row(need.step, _duration(need.seconds), _size(need.size))
    console.print(table)
    for need in check.needs:
        console.print(f"  {need.step}: {need.basis}", soft_wrap=True)
    console.print(
        f"  here: {check.processes} CPU cores, {_size(check.free)} free on the workdir's disk",
        soft_wrap=True,
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NOT_KNOWN
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _size(size: int | None) -> str:
    if size is None:
        return _NOT_KNOWN
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
