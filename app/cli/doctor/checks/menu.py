"""Payments that customers start from the menu: whether news of them comes, and the pull list."""

from collections.abc import Iterator
from datetime import timedelta

from app.cli.doctor.checks.prompts import PRODUCT_MISSING
from app.cli.doctor.checks.safaricom import GATEWAY_BUSY
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, skipped, warning
from app.integrations.mpesa import MpesaBusy, MpesaError, MpesaMisconfigured
from app.services.signs import last_confirmation_at, last_prompt_paid_at
from app.utils.clock import rfc3339

NEVER_CONFIRMED = warning(
    "confirmations_never",
    "Payments by prompt succeeded, and no confirmation from the menu has ever come: run python"
    " manage.py payments register-urls, or money that customers send by themselves is seen late.",
    cause="Safaricom confirms every payment to a shortcode, prompts included, where addresses are"
    " registered. None came, so probably none are. Nothing can read what is registered.",
    cure="`python manage.py payments register-urls`, once, with the shop running. In production a"
    " second registration is refused: to change an address, delete it first in the portal (Self"
    " Service, URL Management). On the sandbox's 174379 nothing can be registered.",
)
STOPPED_CONFIRMING = warning(
    "confirmations_stopped",
    "The last confirmation from the menu came {when}, and payments by prompt succeeded since: see"
    " whether the registered addresses still lead here.",
    cause="PUBLIC_URL, SECRET_KEY or MPESA_C2B_SECRET changed, and Safaricom still reports to the"
    " old address; or something stops its requests.",
    cure="Delete the registration in the portal (Self Service, URL Management), then `python"
    " manage.py payments register-urls`.",
)
PULL_REFUSED = fault(
    "pull_refused",
    "Safaricom refuses the list of payments ({words}): have the Pull API switched on for your"
    " shortcode, or set MPESA_PULL=false.",
    cause="The Pull API needs a product on the app and a shortcode that is live.",
    cure="Ask apisupport@safaricom.co.ke for the Pull Transactions API.",
)
PULL_UNAVAILABLE = warning(
    "pull_unavailable",
    "The list of payments could not be had ({words}): try again later.",
    cause="No answer, or one that cannot be read.",
    cure="Try again. Nothing is lost: the shop asks again by itself.",
)
PULL_EMPTY = warning(
    "pull_empty",
    "The list of payments is empty although a prompt was paid {when}: run python manage.py"
    " payments register-pull.",
    cause="Safaricom answers the same whether there were no payments or nobody registered.",
    cure="Set MPESA_PULL_NUMBER to the phone number that Safaricom has on record for the"
    " shortcode, then `python manage.py payments register-pull`.",
)

_PULLED = timedelta(hours=24)
_PATIENCE = timedelta(hours=24)


def look_at_confirmations(exam: Exam) -> Iterator[Finding]:
    """There is no way to read what is registered, so what came has to tell."""
    with exam.work.database.reading() as session:
        heard, paid = last_confirmation_at(session), last_prompt_paid_at(session)
    if heard is None and paid is None:
        yield skipped(
            "nothing was paid yet, and Safaricom lets nobody read which addresses are registered."
        )
    elif heard is None:
        yield NEVER_CONFIRMED.found()
    elif paid is not None and paid - heard > _PATIENCE:
        yield STOPPED_CONFIRMING.found(when=rfc3339(heard))
    else:
        yield fine(f"The last confirmation came {rfc3339(heard)}.")


def look_at_pull(exam: Exam) -> Iterator[Finding]:
    if not exam.config.can_pull:
        yield skipped("MPESA_PULL is off.")
        return
    if exam.known.token is None:
        yield skipped("there is no access token.")
        return
    now = exam.work.now()
    try:
        page = exam.work.ports.merchant.pull(now - _PULLED, now, 0)
    except MpesaMisconfigured as error:
        yield PRODUCT_MISSING.found(product="Pull Transactions", words=exam.quote(error.message))
        return
    except MpesaBusy as error:
        yield GATEWAY_BUSY.found(words=exam.quote(error.message))
        return
    except MpesaError as error:
        kind = PULL_UNAVAILABLE if _is_silence(error) else PULL_REFUSED
        yield kind.found(words=exam.quote(error.message))
        return
    with exam.work.database.reading() as session:
        paid = last_prompt_paid_at(session)
    if page.length == 0 and paid is not None and paid > now - _PULLED:
        yield PULL_EMPTY.found(when=rfc3339(paid))
    elif page.length == 0:
        yield fine(
            "The list of payments answers, and is empty; Safaricom says the same where nobody is"
            " registered for it."
        )
    else:
        yield fine(f"The list of payments shows {page.length} of the last 24 hours.")


def _is_silence(error: MpesaError) -> bool:
    """Whether nothing was refused: there was only no answer."""
    return error.code is None


CHECKS = (
    Check(
        "confirmations",
        Group.BEYOND,
        "whether payments from the menu (C2B) are reported to us",
        look_at_confirmations,
        kinds=(NEVER_CONFIRMED, STOPPED_CONFIRMING),
        needs=("migrations",),
    ),
    Check(
        "pull",
        Group.BEYOND,
        "whether Safaricom's list of payments can be read",
        look_at_pull,
        kinds=(PRODUCT_MISSING, GATEWAY_BUSY, PULL_REFUSED, PULL_UNAVAILABLE, PULL_EMPTY),
        needs=("token_store",),
        limit_seconds=30,
    ),
)
