"""Moments are aware and in UTC; Safaricom's are in Nairobi."""

from datetime import UTC, datetime, time, timedelta, timezone

EAT = timezone(timedelta(hours=3), "EAT")
"""East Africa Time. Kenya has no summer time, and the host's zone is never asked."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """``2026-11-22T09:30:00Z``: whole seconds, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def next_hour_in_nairobi(now: datetime, hour: int) -> datetime:
    """The next moment at which a clock in Nairobi strikes this hour; never now."""
    local = now.astimezone(EAT)
    today = datetime.combine(local.date(), time(hour), EAT)
    return (today if today > local else today + timedelta(days=1)).astimezone(UTC)
