"""What stands above the lines of a statement: whose it is, of which account, of which time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.services.statements.values import DayOrder, read_day, read_moment

_SHORTCODE = re.compile(r"\bshort\s?code\b\W*(?P<value>[0-9]{4,10})", re.IGNORECASE)
_ACCOUNT = re.compile(r"^\W*account\s*:\W*(?P<value>[^,;\t\"]{2,60})", re.IGNORECASE)
_PERIOD = re.compile(r"\b(?:time|statement)\s+period\b(?P<value>.*)", re.IGNORECASE)
_REPORTED = re.compile(r"\bdate of report\b(?P<value>.*)", re.IGNORECASE)
_WHEN = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"
    r"(?:[T\s]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:\s?[AaPp][Mm])?)?"
)
_FILE_NAME = re.compile(
    r"statements?[\s_]+for[\s_]+(?P<shortcode>[0-9]{4,10})[\s_]+from[\s_]+"
    r"(?P<first>[0-9]{4}-[0-9]{2}-[0-9]{2})[\s_]+to[\s_]+(?P<last>[0-9]{4}-[0-9]{2}-[0-9]{2})",
    re.IGNORECASE,
)
_A_SECOND = timedelta(seconds=1)
_A_DAY = timedelta(days=1)


@dataclass(slots=True)
class Preamble:
    """What is known; the period is from its first moment to the one after its last."""

    shortcode: str | None = None
    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reported_at: datetime | None = None

    def hear(self, text: str, order: DayOrder) -> None:
        """Learn what one line above the headings says."""
        words = " ".join(text.replace('"', " ").replace("\t", " ").split())
        spoken = re.sub(r"[,;]+", " ", words)
        if self.shortcode is None and (found := _SHORTCODE.search(spoken)):
            self.shortcode = found["value"]
        if self.account is None and (found := _ACCOUNT.search(words)):
            self.account = found["value"].strip()
        if self.since is None and (found := _PERIOD.search(spoken)):
            self._hear_period(found["value"], order)
        if self.reported_at is None and (found := _REPORTED.search(spoken)):
            when = _WHEN.search(found["value"])
            self.reported_at = read_moment(when[0], order) if when else None

    def hear_name(self, file_name: str | None) -> None:
        """Learn what the portal put into the file's name, where the file says nothing itself."""
        found = _FILE_NAME.search(file_name or "")
        if found is None:
            return
        self.shortcode = self.shortcode or found["shortcode"]
        if self.since is None:
            self._hear_period(f"{found['first']} to {found['last']}", DayOrder.DAY_FIRST)

    def _hear_period(self, text: str, order: DayOrder) -> None:
        said = _WHEN.findall(text)
        if len(said) != 2:  # noqa: PLR2004 - its beginning and its end
            return
        first, last = said
        since = read_moment(first, order) or read_day(first, order)
        last_moment, last_day = read_moment(last, order), read_day(last, order)
        if last_moment is not None:
            until = last_moment + _A_SECOND
        elif last_day is not None:
            until = last_day + _A_DAY
        else:
            return
        if since is not None and since < until:
            self.since, self.until = since, until
