"""The styles of descriptions of one action unit, and which of them is the default.

"plain": what is seen of the action unit, in sentences that are the same on every face.
"composed": whether the action unit is active, how it meets the active action units next to it, and
its degree if it has one.
"""

from fauds.errors import UsageError

STYLES = ("plain", "composed")
"""The names of the styles."""

DEFAULT_STYLE = "plain"
"""The style of captions and descriptions for which no style is chosen."""


def style_name(style: str | None) -> str:
    """Check that a style exists, and return its name; None is the default style.

    Raises:
        UsageError: the style is unknown.
    """
    if style is not None and style not in STYLES:
        raise UsageError(
            f"{style!r} is not a style of descriptions.", hint=f"choose from: {', '.join(STYLES)}"
        )
    return style or DEFAULT_STYLE
