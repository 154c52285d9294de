"""Figures as all pages, tables and sentences write them: no zero before the point, a plus on gains."""

MISSING = "–"


def number(value: float | None, digits: int = 4) -> str:
    """`.7123`, `-.0040`, `1.0000`; an en dash where there is none."""
    if value is None or value != value:
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if digits and text.startswith(("0.", "-0.")) else text


def signed(value: float | None, digits: int = 4) -> str:
    """As `number`, with a plus where it is above 0."""
    text = number(value, digits)
    return text if value is None or value != value or text.startswith("-") or float(text) == 0 else f"+{text}"
