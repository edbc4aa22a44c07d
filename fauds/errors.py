"""The errors that fauds raises for its users: what is wrong, where, and what to do next."""


class FaudsError(Exception):
    """Base of all errors that fauds raises on purpose.

    Args:
        what: what is wrong, in one sentence.
        where: the place of the problem: a file (with its line, such as ``labels.csv:12``), a
            subject or a setting.
        hint: what the user can do about it.

    The command line prints the message without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  to do: {self.hint}")
        return "\n".join(lines)


class DataError(FaudsError):
    """A file or folder is missing, damaged or not in the expected format. Exit code 1."""


class UsageError(FaudsError):
    """An error in a command, an argument or a setting. Exit code 2."""

    exit_code = 2
