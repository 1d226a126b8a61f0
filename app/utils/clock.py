"""Moments are aware and in UTC; Safaricom's are in Nairobi."""

from datetime import UTC, datetime, timedelta, timezone

EAT = timezone(timedelta(hours=3), "EAT")
"""East Africa Time. Kenya has no summer time, and the host's zone is never asked."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """``2026-11-22T09:30:00Z``: whole seconds, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
