"""Refunds: whether they are sent."""

from collections.abc import Iterator

from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fine, warning
from app.services.restores import held_restores
from app.utils.clock import EAT

REFUNDS_HELD = warning(
    "refunds_held",
    "No refund is sent since the shop was restored at {restored} (Nairobi) from the backup of"
    " {made}: import M-Pesa's statement of the time between, then run python manage.py payments"
    " release-refunds.",
    cause="After a restore the shop does not know which refunds it sent after the backup. Sent"
    " again they would be paid twice, so all are held until somebody has looked.",
    cure="docs/backups.md, *After a restore*. The command, and the page of refunds in the office,"
    " list what is not known yet.",
)


def look_at_held_refunds(exam: Exam) -> Iterator[Finding]:
    with exam.work.database.reading() as session:
        held = held_restores(session)
    if not held:
        yield fine("Refunds are not held.")
        return
    last = held[-1]
    yield REFUNDS_HELD.found(
        restored=f"{held[0].restored_at.astimezone(EAT):%Y-%m-%d %H:%M}",
        made=f"{last.backup_made_at.astimezone(EAT):%Y-%m-%d %H:%M}",
    )


CHECKS = (
    Check(
        "refunds",
        Group.WORK,
        "whether refunds are held since a restore",
        look_at_held_refunds,
        kinds=(REFUNDS_HELD,),
        needs=("migrations",),
    ),
)
