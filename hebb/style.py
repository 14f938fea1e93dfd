"""What all figures share: the matplotlib style, colours that colour-blind readers can tell apart, marks."""

from __future__ import annotations

from importlib import resources

from matplotlib import style

__all__ = ["COLORS", "MARKS", "house_style"]

#: Paul Tol's "muted" set without its palest colour.
COLORS = ("#332288", "#cc6677", "#117733", "#88ccee", "#882255", "#999933", "#44aa99", "#aa4499")
MARKS = ("o", "s", "D", "^", "v", "<", ">", "p", "h", "P", "8", "d")


def house_style():
    """The project's matplotlib style, as a context."""
    return style.context(str(resources.files("hebb") / "hebb.mplstyle"))
