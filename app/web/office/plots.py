"""Bars by the day, drawn on the server.

Heights are pixels and widths are shares of the whole, so that a plot fills a phone and a wide
window alike while its words keep their size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from babel.dates import format_date

from app.web.language import choose_language

HEIGHT = 150
_TOP = 12
_FOOT = 24
_GAP_SHARE = 0.22
_DAYS_BETWEEN_LABELS = 10
_KILO, _MEGA = 1_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of bar: its class in the stylesheet, its name, and a value for each day."""

    kind: str
    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    y: float
    width: str
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line across, and what it stands for."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class DayLabel:
    x: str
    anchor: str
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    bars: Sequence[Bar]
    lines: Sequence[Line]
    labels: Sequence[DayLabel]
    series: Sequence[Series]
    height: int = _TOP + HEIGHT + _FOOT
    label_y: int = _TOP + HEIGHT + 18


def draw(days: Sequence[date], series: Sequence[Series]) -> Plot:
    """A bar for each day, its series stacked from the bottom in the order given."""
    totals = [sum(one.values[place] for one in series) for place in range(len(days))]
    top = round_top(max(totals, default=0))
    return Plot(
        bars=_bars(days, series, top),
        lines=[Line(_height_of(value, top), short(value)) for value in (0, top // 2, top)],
        labels=_labels(days),
        series=series,
    )


def round_top(value: int) -> int:
    """The least of 2, 4, 6, 8, 10, 20, 40, … that is not below ``value``: its half is whole."""
    size = 1
    while True:
        for step in (2, 4, 6, 8):
            if step * size >= value:
                return step * size
        size *= 10
        if size >= value:
            return size


def short(value: int) -> str:
    """``12k`` for 12,000 and ``3M`` for 3,000,000, as there is little room beside a plot."""
    for size, letter in ((_MEGA, "M"), (_KILO, "k")):
        if value >= size and value % size == 0:
            return f"{value // size}{letter}"
    return f"{value:,}"


def short_day(day: date) -> str:
    return format_date(day, "d MMM", locale=choose_language())


def _bars(days: Sequence[date], series: Sequence[Series], top: int) -> list[Bar]:
    room = 100 / len(days)
    bars = []
    for place, day in enumerate(days):
        below = 0
        for one in series:
            value = one.values[place]
            if value:
                y, foot = _height_of(below + value, top), _height_of(below, top)
                bars.append(
                    Bar(
                        x=f"{room * (place + _GAP_SHARE / 2):.2f}%",
                        y=y,
                        width=f"{room * (1 - _GAP_SHARE):.2f}%",
                        height=round(foot - y, 1),
                        kind=one.kind,
                        title=f"{short_day(day)}: {one.name} {value:,}",
                    )
                )
            below += value
    return bars


def _height_of(value: int, top: int) -> float:
    return round(_TOP + HEIGHT * (1 - value / top), 1)


def _labels(days: Sequence[date]) -> list[DayLabel]:
    """The last day and every tenth before it: as many as a phone has room for."""
    last = len(days) - 1
    return [
        DayLabel(
            x="100%" if place == last else f"{100 * (place + 0.5) / len(days):.2f}%",
            anchor="end" if place == last else "middle",
            label=short_day(days[place]),
        )
        for place in range(last, -1, -_DAYS_BETWEEN_LABELS)
    ]
