"""M-Pesa Express: shortcode and passkey, and, if a phone may ring, whether it is a till."""

from collections.abc import Iterator

from app.cli.doctor.checks.safaricom import GATEWAY_BUSY
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, Kind, fault, fine, skipped, warning
from app.cli.doctor.probing import Probe, look_for, made_probe
from app.integrations.mpesa import (
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    PairAnswer,
    explain,
)
from app.ports import PushAccepted, PushRequest, PushStatus, Verdict
from app.utils.phone import mask_msisdn

PASSKEY_WRONG = fault(
    "passkey_wrong",
    "MPESA_PASSKEY does not belong to shortcode {shortcode}: copy the passkey that Safaricom sent"
    " for exactly this number, of a till that of its store number.",
    cause="Safaricom answers “Wrong credentials” to what is signed with shortcode and passkey. A"
    " passkey belongs to one shortcode and to one environment.",
    cure="The production passkey comes by e-mail after Go Live, and is not the one that the portal"
    " prints for the sandbox. Copy all 64 characters.",
)
SHORTCODE_UNKNOWN = fault(
    "shortcode_unknown",
    "Safaricom knows no merchant {shortcode} for M-Pesa Express: check MPESA_SHORTCODE; of a till"
    " it is the store (head office) number, not the till.",
    cause="“Merchant does not exist”: a typing error, a till number where the store number belongs,"
    " or a shortcode that has not gone live yet.",
    cure="Use the number that you went live with. Put the till number into MPESA_TILL.",
)
SHORTCODE_REFUSED = fault(
    "shortcode_refused",
    "Safaricom does not read {shortcode} as a shortcode ({words}): check MPESA_SHORTCODE.",
    cause="The number does not have the form that Safaricom expects.",
    cure="It has five to seven digits and stands in Safaricom's mails to your organisation.",
)
PRODUCT_MISSING = fault(
    "product_missing",
    "Your app in Safaricom's portal lacks the product {product} ({words}): add it to the app, then"
    " run this again; a token from before can be refused for an hour.",
    cause="“no apiproduct match found”: the key belongs to an app on which this product is not"
    " ticked, or that has another version of it.",
    cure="In the portal, edit the app and tick the product; in production ask"
    " apisupport@safaricom.co.ke. Keys of another app do not help.",
)
TIMESTAMP_REFUSED = fault(
    "timestamp_refused",
    "Safaricom does not accept the time that requests are signed with ({words}): this machine's"
    " clock is wrong; switch on time synchronisation.",
    cause="Requests carry Nairobi's time, counted from this machine's clock. The machine's time"
    " zone is never used.",
    cure="`timedatectl set-ntp true`, and see that `date -u` is right.",
)
TOKEN_NOT_TAKEN = fault(
    "token_not_taken",
    "Safaricom refuses the access token that it gave a moment ago ({words}): another program with"
    " the same key fetches tokens all the time, or Safaricom is in trouble; try again.",
    cause="A new token is said to end the one before. Two shops, or a shop and another program,"
    " that share a consumer key fight over it.",
    cure="Give each program an app, and so a key, of its own in the portal.",
)
PAIR_UNPROVEN = warning(
    "pair_unproven",
    "It could not be told whether the passkey belongs to {shortcode}: the right passkey and a"
    " wrong one were answered alike ({words}); pay once to know, or use --phone.",
    cause="Safaricom looked at something else before it looked at the passkey, or did not answer.",
    cure="`python manage.py doctor --phone 07…` asks a phone for KES 1 and sees what comes of it.",
)
PAYBILL_IS_TILL = fault(
    "paybill_is_till",
    "Shortcode {shortcode} is not a paybill (result 2028): it is the store number of a till, so set"
    " MPESA_TILL to the till number that customers know.",
    cause="The prompt was sent as to a paybill (CustomerPayBillOnline), and the number belongs to a"
    " till (Buy Goods).",
    cure="MPESA_SHORTCODE stays the store number, MPESA_TILL gets the till.",
)
TILL_IS_PAYBILL = fault(
    "till_is_paybill",
    "Shortcode {shortcode} is no store of a till (result 2028): it is a paybill, so leave"
    " MPESA_TILL empty.",
    cause="The prompt was sent as to a till (CustomerBuyGoodsOnline), and the number is a paybill.",
    cure="Remove MPESA_TILL.",
)
TILL_UNKNOWN = fault(
    "till_unknown",
    "{till} is not a till of store {shortcode} (result SFC_IC0003): check MPESA_TILL.",
    cause="The receiving number does not exist, or is a till of another store.",
    cure="Take the till number from its sticker or from the M-Pesa portal.",
)
RECEIVER_UNKNOWN = fault(
    "receiver_unknown",
    "Money cannot be received by {shortcode} (result SFC_IC0003): if it is the store number of a"
    " till, set MPESA_TILL; otherwise ask Safaricom whether the paybill is active.",
    cause="M-Pesa does not know the receiving number for this kind of payment.",
    cure="See whether the number is a paybill or a store, and set MPESA_TILL for a store.",
)
MERCHANT_FULL = fault(
    "merchant_full",
    "Your M-Pesa account may hold no more money (result 8): withdraw to the bank, or ask Safaricom"
    " for a higher limit.",
    cause="The account of the shortcode has reached its largest balance.",
    cure="Move money to the bank in the M-Pesa portal.",
)
PUSH_REFUSED = fault(
    "push_refused",
    "Safaricom did not take the prompt ({words}): nothing rang and nothing was charged; do what it"
    " says, or try another phone.",
    cause="A field of the request was refused: the phone's number above all.",
    cure="Use a Safaricom number that has M-Pesa. If it names another field, write to us.",
)
CALLBACK_REFUSED = fault(
    "callback_refused",
    "Safaricom refuses the address that results are to come to ({words}): PUBLIC_URL must be"
    " https, public, in small letters and without words such as mpesa, safaricom, sql or query.",
    cause="Safaricom looks at the text of the address before it takes a request.",
    cure="Use another host name. What `address` finds says which rule is broken.",
)
PHONE_BUSY = warning(
    "push_phone_busy",
    "Another M-Pesa session is open on that phone: close it, wait a minute and run this again.",
    cause="One phone answers one prompt at a time.",
    cure="Finish or close what is open on the phone, *234# and M-Pesa menus included.",
)
PUSH_UNCERTAIN = warning(
    "push_uncertain",
    "Nobody knows whether the phone rang ({words}): wait two minutes before you run this again.",
    cause="The connection broke, or the answer could not be read, after the prompt was sent.",
    cure="Look at the phone. Two prompts may be two payments, so do not hurry.",
)
PUSH_UNCLEAR = warning(
    "push_unclear",
    "The prompt ended with {code} ({meaning}), which says nothing about the set-up: wait two"
    " minutes and run this again.",
    cause="The prompt did not reach the phone, or M-Pesa refused it for load or for a payment of"
    " the same amount just before.",
    cure="Try again, or with another phone.",
)
PUSH_UNANSWERED = warning(
    "push_unanswered",
    "M-Pesa still does not say what became of the prompt: run this again in a few minutes, and"
    " answer the prompt on the phone.",
    cause="Queries were answered with “still under processing”, or not at all.",
    cure="Look at the phone and at the M-Pesa portal. If KES 1 came, all is well.",
)
CALLBACK_UNHEARD = warning(
    "callback_unheard",
    "The prompt ended, but Safaricom's report of it did not come within {seconds} s: payments are"
    " found by asking, which is slower; see that nothing in front of the shop stops Safaricom.",
    cause="Safaricom posts a result once. A firewall, a list of allowed countries or a protection"
    " against robots lets you in, and not Safaricom; in the sandbox reports are often lost.",
    cure="Let 196.201.212.0/23 and 196.201.214.0/24 in, without a challenge, at least under"
    " /api/pay/. Look for the request in the proxy's log.",
)

_PROVES_PAIRING = frozenset({"1", "4", "1019", "1031", "1032", "1037", "2001", "8006"})
"""How a prompt ends that did reach a phone; only the payer kept it from being paid."""

_VERDICT_SECONDS = 100
_CALLBACK_SECONDS = 20
_ASK_EVERY_SECONDS = 4
_LOOK_EVERY_SECONDS = 0.5
_CALLBACK_WORDS = ("invalid callbackurl", "invalid resulturl", "invalid queuetimeouturl")


def look_at_pair(exam: Exam) -> Iterator[Finding]:
    """Ask about a prompt that never was: the refusal tells how far the request came."""
    token, shortcode = exam.known.token, exam.config.mpesa_shortcode
    if token is None:
        yield skipped("there is no access token.")
        return
    try:
        trial = exam.examiner.try_pair(token)
        if (kind := _PAIR_FAULTS.get(trial.answer)) is not None:
            yield kind.found(
                shortcode=shortcode, words=exam.quote(trial.words), product="M-Pesa Express"
            )
            return
        control = exam.examiner.try_wrong_pair(token)
    except MpesaError as error:
        yield PAIR_UNPROVEN.found(shortcode=shortcode, words=exam.quote(error.message))
        return
    if control.answer is PairAnswer.WRONG_CREDENTIALS:
        yield fine(
            f"The passkey belongs to {shortcode}: another one was refused. Whether the number is a"
            " paybill or a till, only a prompt shows (--phone)."
        )
    else:
        yield PAIR_UNPROVEN.found(shortcode=shortcode, words=exam.quote(trial.words))


_PAIR_FAULTS: dict[PairAnswer, Kind] = {
    PairAnswer.WRONG_CREDENTIALS: PASSKEY_WRONG,
    PairAnswer.NO_MERCHANT: SHORTCODE_UNKNOWN,
    PairAnswer.NO_PRODUCT: PRODUCT_MISSING,
    PairAnswer.WRONG_MOMENT: TIMESTAMP_REFUSED,
    PairAnswer.WRONG_SHORTCODE: SHORTCODE_REFUSED,
    PairAnswer.TOKEN_REFUSED: TOKEN_NOT_TAKEN,
    PairAnswer.BUSY: GATEWAY_BUSY,
}


def ring_phone(exam: Exam) -> Iterator[Finding]:
    """Ask a phone for KES 1, and see how M-Pesa ends it and whether we are told."""
    phone = exam.wishes.phone
    if phone is None:
        yield skipped(
            "no phone may ring; with --phone a prompt for KES 1 shows whether the number is a"
            " paybill or a till, and whether Safaricom's report arrives."
        )
        return
    if exam.known.token is None:
        yield skipped("there is no access token.")
        return
    with made_probe(exam) as probe:
        yield from _push(exam, phone, probe)


def _push(exam: Exam, phone: str, probe: Probe) -> Iterator[Finding]:
    ask = PushRequest(
        amount_shillings=1,
        msisdn=phone,
        callback_url=probe.url,
        account_reference="DOCTOR",
        description="Doctor test",
    )
    try:
        accepted = exam.work.ports.gateway.push(ask)
    except MpesaError as error:
        yield explain_refusal(exam, error, PUSH_REFUSED, PUSH_UNCERTAIN, "M-Pesa Express")
        return
    exam.say(
        f"The prompt is out: look at {mask_msisdn(phone)}. M-Pesa is asked what becomes of it, for"
        f" at most {_VERDICT_SECONDS} s."
    )
    status = _await_verdict(exam, accepted)
    yield _judge(exam, status)
    if status is not None and exam.is_sound("arrival"):
        yield _await_callback(exam, probe)


def explain_refusal(
    exam: Exam, error: MpesaError, refused: Kind, uncertain: Kind, product: str
) -> Finding:
    """What it means that a request was not acknowledged."""
    words = exam.quote(error.message)
    if isinstance(error, MpesaPhoneBusy):
        return PHONE_BUSY.found()
    if isinstance(error, MpesaBusy):
        return GATEWAY_BUSY.found(words=words)
    if isinstance(error, MpesaMisconfigured) and (error.code or "").startswith("401."):
        return PRODUCT_MISSING.found(product=product, words=words)
    if any(known in error.message.lower() for known in _CALLBACK_WORDS):
        return CALLBACK_REFUSED.found(words=words)
    return (refused if error.certain else uncertain).found(words=words)


def _await_verdict(exam: Exam, accepted: PushAccepted) -> PushStatus | None:
    def ask() -> PushStatus | None:
        exam.pause(_ASK_EVERY_SECONDS)
        status = exam.work.ports.gateway.query(accepted.checkout_request_id)
        return None if status.verdict is Verdict.NONE else status

    return exam.wait_for(ask, seconds=_VERDICT_SECONDS, every=0)


def _judge(exam: Exam, status: PushStatus | None) -> Finding:
    if status is None:
        return PUSH_UNANSWERED.found()
    shortcode, till = exam.config.mpesa_shortcode, exam.config.mpesa_till
    code = status.result_code or ""
    faults = {
        "2028": TILL_IS_PAYBILL if till else PAYBILL_IS_TILL,
        "SFC_IC0003": TILL_UNKNOWN if till else RECEIVER_UNKNOWN,
        "8": MERCHANT_FULL,
    }
    if code in faults:
        return faults[code].found(shortcode=shortcode, till=till)
    named = f"{till} is a till of {shortcode}" if till else f"{shortcode} is a paybill"
    if status.verdict is Verdict.PAID:
        return fine(
            f"KES 1 was paid, so the pairing is right: {named}. It belongs to no order: give it"
            " back in the M-Pesa portal, or find it among the unmatched money."
        )
    meaning = explain(code).meaning
    if code in _PROVES_PAIRING:
        return fine(
            f"The prompt reached its phone and ended with {code} ({meaning}), so the pairing is"
            f" right: {named}."
        )
    return PUSH_UNCLEAR.found(code=code, meaning=meaning)


def _await_callback(exam: Exam, probe: Probe) -> Finding:
    heard = exam.wait_for(
        lambda: look_for(exam, probe), seconds=_CALLBACK_SECONDS, every=_LOOK_EVERY_SECONDS
    )
    if heard is None:
        return CALLBACK_UNHEARD.found(seconds=_CALLBACK_SECONDS)
    return fine(f"Safaricom's report of it arrived, from {heard.remote_addr}.")


CHECKS = (
    Check(
        "pair",
        Group.SAFARICOM,
        "shortcode and passkey, by asking about a prompt that never was",
        look_at_pair,
        kinds=(*_PAIR_FAULTS.values(), PAIR_UNPROVEN),
        needs=("token",),
        limit_seconds=40,
    ),
    Check(
        "push",
        Group.SAFARICOM,
        "paybill or till, by asking a phone for KES 1 (only with --phone)",
        ring_phone,
        kinds=(
            PAYBILL_IS_TILL,
            TILL_IS_PAYBILL,
            TILL_UNKNOWN,
            RECEIVER_UNKNOWN,
            MERCHANT_FULL,
            PUSH_REFUSED,
            CALLBACK_REFUSED,
            PRODUCT_MISSING,
            GATEWAY_BUSY,
            PHONE_BUSY,
            PUSH_UNCERTAIN,
            PUSH_UNCLEAR,
            PUSH_UNANSWERED,
            CALLBACK_UNHEARD,
        ),
        needs=("pair", "token_store"),
        after=("arrival",),
        limit_seconds=180,
    ),
)
