"""Figures of 0 to 1 in per cent, and words, as reports print them."""


def percent(value: float | None) -> str:
    """Return a figure in %, without the sign; "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def percent_range(low: float | None, high: float | None) -> str:
    """Return an interval in %, ``83.0 to 87.2``; "" where there is none."""
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def sentence_case(words: str) -> str:
    """Return words with a capital letter at their beginning, the others as they are."""
    return words[:1].upper() + words[1:]
