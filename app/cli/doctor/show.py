"""The report: for people, aligned and in colours where there is a terminal, or as JSON."""

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence

import click

from app.cli.doctor.exam import Group, Report
from app.cli.doctor.findings import Level

MANUAL = "docs/doctor.md"
_COLOURS = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.FAULT: "red",
    Level.SKIPPED: "bright_black",
}
_LEVEL_WIDTH = max(len(level) for level in Level)
_NARROWEST = 60


class Screen:
    """Prints each report as soon as those before it are printed, and who is waited for meanwhile.

    The progress goes to standard error, and only to a terminal; what a check says while it waits
    goes there in any case.
    """

    def __init__(self, names: Sequence[str], *, quiet: bool = False) -> None:
        self._left = list(names)
        self._reports: dict[str, Report] = {}
        self._group: Group | None = None
        self._quiet = quiet
        self._width = max([len(name) for name in names], default=0)
        self._began = time.monotonic()
        self._has_progress = sys.stderr.isatty()
        self._shown = ""

    def ended(self, report: Report) -> None:
        self._reports[report.name] = report
        while self._left and self._left[0] in self._reports:
            self._print(self._reports[self._left.pop(0)])

    def waiting(self, names: Sequence[str]) -> None:
        seconds = int(time.monotonic() - self._began)
        line = f"… {seconds} s: {', '.join(names)}"[: _columns() - 1]
        if self._has_progress and seconds and line != self._shown:
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
            self._shown = line

    def say(self, line: str) -> None:
        self._clear()
        click.echo(line, err=True)

    def close(self) -> None:
        self._clear()

    def _print(self, report: Report) -> None:
        if self._quiet:
            return
        self._clear()
        if report.group is not self._group:
            click.echo(("" if self._group is None else "\n") + click.style(report.group, bold=True))
            self._group = report.group
        for line in report.lines:
            code = f" [{line.code}]" if line.level in {Level.FAULT, Level.WARNING} else ""
            self._print_line(line.level, report.name, line.sentence + code)

    def _print_line(self, level: Level, name: str, sentence: str) -> None:
        label = level.upper() if level is Level.FAULT else level.value
        margin = 2 + _LEVEL_WIDTH + 2 + self._width + 2
        words = sentence
        if sys.stdout.isatty():
            words = textwrap.fill(
                sentence,
                max(_columns(), margin + _NARROWEST),
                initial_indent=" " * margin,
                subsequent_indent=" " * margin,
            ).lstrip()
        coloured = click.style(f"{label:<{_LEVEL_WIDTH}}", fg=_COLOURS[level])
        click.echo(f"  {coloured}  {name:<{self._width}}  {words}")

    def _clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = ""


def summary(reports: Sequence[Report]) -> str:
    counts = count_levels(reports)
    parts = [
        _plural(counts[Level.FAULT], "fault"),
        _plural(counts[Level.WARNING], "warning"),
        f"{counts[Level.OK]} ok",
        f"{counts[Level.SKIPPED]} skipped",
    ]
    line = ", ".join(parts) + "."
    if counts[Level.FAULT] or counts[Level.WARNING]:
        line += (
            f" What is in brackets is explained in {MANUAL}, and by: python manage.py doctor"
            " --explain CODE"
        )
    return line


def count_levels(reports: Sequence[Report]) -> dict[Level, int]:
    levels = [line.level for report in reports for line in report.lines]
    return {level: levels.count(level) for level in Level}


def as_json(reports: Sequence[Report]) -> str:
    counts = count_levels(reports)
    document = {
        "faults": counts[Level.FAULT],
        "warnings": counts[Level.WARNING],
        "checks": [
            {
                "name": report.name,
                "group": report.group,
                "seconds": round(report.seconds, 3),
                "findings": [
                    {"code": line.code, "level": line.level, "sentence": line.sentence}
                    for line in report.lines
                ],
            }
            for report in reports
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _columns() -> int:
    return shutil.get_terminal_size().columns
