"""What a distribution lacks, as lines for people, each said once."""

from fauds.errors import FaudsError


class MissingFiles:
    """Lines in the order in which they were found."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Add a line, unless it is there already."""
        self._lines[line] = None

    def refuse(self, error: FaudsError) -> None:
        """Add what would end `fauds prepare` too."""
        self.add(f"fauds prepare would refuse this: {spoken(error)}")


def spoken(error: FaudsError) -> str:
    """Return an error in one line."""
    where = f" ({error.where})" if error.where else ""
    return f"{error.what}{where}" + (f"; {error.hint}" if error.hint else "")
