"""What docs/doctor.md says of each finding, made from the checks so that it cannot go stale."""

from collections.abc import Iterator

from app.cli.context import HOME
from app.cli.doctor.checks import CHECKS, kinds_of
from app.cli.doctor.exam import Check, Group
from app.cli.doctor.findings import Kind, Level
from app.cli.doctor.running import KINDS

FILE = HOME / "docs" / "doctor.md"
BEGIN = "<!-- findings: made by `python manage.py doctor --write-manual` -->"
END = "<!-- end of findings -->"


def explain(kind: Kind) -> str:
    """A finding's cause and cure, for a terminal."""
    return "\n\n".join(
        [
            f"{kind.code}: {_level(kind)}",
            _plain(kind.says),
            f"Cause: {kind.cause}",
            f"Cure: {kind.cure}",
        ]
    )


def findings() -> str:
    """Markdown: every check under its group, every finding under the first check that makes it."""
    told: set[str] = set()
    lines: list[str] = []
    for group in Group:
        lines += [f"### {group}", ""]
        for check in (one for one in CHECKS if one.group is group):
            lines += _section(check, told)
    lines += ["### Any check", ""]
    for kind in KINDS:
        lines += _entry(kind)
    return "\n".join(lines).rstrip() + "\n"


def with_findings(text: str) -> str:
    """The manual with its findings made anew. Raises ValueError where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("docs/doctor.md has lost the two marks between which the findings stand.")
    return f"{before}{BEGIN}\n\n{findings()}\n{END}{after}"


def listing() -> Iterator[tuple[str, str]]:
    """Each check with what it looks at, for the help."""
    for check in CHECKS:
        yield check.name, check.about


def known_codes() -> list[str]:
    return list(kinds_of())


def _section(check: Check, told: set[str]) -> list[str]:
    needs = f" Needs {', '.join(f'`{name}`' for name in check.needs)}." if check.needs else ""
    lines = [f"#### `{check.name}`", "", f"Looks at {check.about}.{needs}", ""]
    for kind in check.kinds:
        if kind.code in told:
            lines += [f"- `{kind.code}`: see above.", ""]
        else:
            lines += _entry(kind)
            told.add(kind.code)
    return lines


def _entry(kind: Kind) -> list[str]:
    return [
        f"**`{kind.code}`** ({_level(kind)})  ",
        f"“{_plain(kind.says, *'``')}”",
        "",
        f"Cause: {kind.cause}",
        "",
        f"Cure: {kind.cure}",
        "",
    ]


def _level(kind: Kind) -> str:
    outside = kind.level_in(production=False)
    if outside is not kind.level:
        return f"{kind.level} in production, else {outside}"
    return Level(kind.level).value


def _plain(says: str, before: str = "<", behind: str = ">") -> str:
    """Places for facts as a reader sees them: {host} → <host>."""
    return says.replace("{seconds:g}", "{seconds}").replace("{", before).replace("}", behind)
