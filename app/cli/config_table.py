"""The table of settings in the README, made from .env.example so that neither can be forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path

from app.cli.context import HOME

EXAMPLE = HOME / ".env.example"
README = HOME / "README.md"
BEGIN = "<!-- settings: made by `python manage.py config table --write` -->"
END = "<!-- end of settings -->"
_SETTING = re.compile(r"#?(?P<name>[A-Z][A-Z0-9_]*)=(?P<default>.*)")
_LONGEST_DEFAULT = 40


def settings_table(example: Path = EXAMPLE) -> str:
    """Markdown: one row a setting, under the headings of the file."""
    rows = ["| setting | default | what it is for |", "|---|---|---|"]
    for heading, name, default, explanation in _settings(example.read_text("utf-8")):
        if heading:
            rows.append(f"| **{heading}** | | |")
        rows.append(f"| `{name}` | {_shown(default)} | {explanation} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """The text with its table made anew. Raises ValueError where it has no place for one."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost the two marks between which the settings stand.")
    return f"{before}{BEGIN}\n\n{settings_table()}\n\n{END}{after}"


def _settings(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Each setting with its heading (of the first under it alone), default and explanation."""
    heading = ""
    comments: list[str] = []
    for block in text.split("\n\n")[1:]:
        for number, line in enumerate(block.splitlines()):
            match = _SETTING.fullmatch(line)
            if match:
                yield heading, match["name"], match["default"], " ".join(comments)
                heading, comments = "", []
            elif number == 0:
                heading = line.removeprefix("# ").partition(".")[0]
            else:
                comments.append(line.removeprefix("# "))


def _shown(default: str) -> str:
    if len(default) > _LONGEST_DEFAULT:
        return f"`{default[:8]}…`"
    return f"`{default}`" if default else ""
