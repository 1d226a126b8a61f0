"""What was measured, as the table that people read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def marks_of(work: str) -> tuple[str, str]:
    """Between which marks of docs/performance.md a work's table belongs."""
    return (
        f"<!-- figures of {work}: made by `python -m bench {work} --write` -->",
        f"<!-- end of figures of {work} -->",
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One work beside its ceiling. ``ratio`` is ours by the ceiling's unless a goal says else."""

    work: str
    ours: str
    ceiling: str
    ratio: float | None
    goal: str
    is_reached: bool

    def cells(self) -> tuple[str, ...]:
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        goal = self.goal if self.is_reached else f"{self.goal}, missed"
        return (self.work, self.ours, self.ceiling, ratio, goal)


def at_least(ratio: float, goal: float) -> tuple[float, str, bool]:
    """The last three of a Line, for a ratio that should be high."""
    return ratio, f"≥ {goal:.2f}", ratio >= goal


def at_most(ratio: float, goal: float) -> tuple[float, str, bool]:
    """The last three of a Line, for a ratio that should be low."""
    return ratio, f"≤ {goal:.2f}", ratio <= goal


def no_goal(ratio: float) -> tuple[float, str, bool]:
    """The last three of a Line, for a ratio that is told to explain others."""
    return ratio, "-", True


def table(lines: Sequence[Line]) -> str:
    """Markdown that can be read as it stands."""
    rows = [("work", "ours", "ceiling", "ratio", "goal"), *(line.cells() for line in lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    told = [_row(row, widths) for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([told[0], rule, *told[1:]])


def with_table(text: str, marks: tuple[str, str], conditions: str, lines: Sequence[Line]) -> str:
    """The text with its figures made anew. Raises ValueError where it has no place for them."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError("The file has lost the two marks between which the figures stand.")
    return f"{before}{begin}\n\n{conditions}\n\n{table(lines)}\n\n{end}{after}"


def _row(cells: Iterable[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
