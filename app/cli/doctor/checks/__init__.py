"""All checks, in the order of the report."""

from collections.abc import Sequence

from app.cli.doctor.checks import (
    address,
    arrival,
    database,
    disk,
    menu,
    prompts,
    questions,
    refunds,
    safaricom,
    settings,
    stores,
    work,
)
from app.cli.doctor.exam import Check
from app.cli.doctor.findings import Kind
from app.cli.doctor.running import KINDS

CHECKS: Sequence[Check] = (
    *settings.CHECKS,
    *database.CHECKS,
    *disk.CHECKS,
    *safaricom.CHECKS,
    *prompts.CHECKS,
    *address.CHECKS,
    *arrival.CHECKS,
    *questions.CHECKS,
    *menu.CHECKS,
    *work.CHECKS,
    *refunds.CHECKS,
    *stores.CHECKS,
)


def kinds_of(checks: Sequence[Check] = CHECKS) -> dict[str, Kind]:
    """Every mistake that can be named, by its code, in the order of the checks."""
    kinds = [kind for check in checks for kind in check.kinds]
    return {kind.code: kind for kind in (*kinds, *KINDS)}
