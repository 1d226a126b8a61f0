"""The result codes of reversals, payouts and questions, and what each one asks of the operator.

Daraja: the same codes mean other things here than for M-Pesa Express: 2001 there is a wrong PIN of
the payer's, here a wrong password of our initiator's.
"""

from dataclasses import dataclass

from app.integrations.mpesa.result_codes import SUCCESS


@dataclass(frozen=True, slots=True)
class MerchantResultCode:
    """``final``: this request moved no money and will move none. Where it is False, ask for the
    state of the transaction before anything is sent again. ``our_fault``: the initiator, its roles
    or our shortcode must be mended first. ``already_reversed``: the payment went back before.
    ``no_such_receipt``: M-Pesa knows nothing by this receipt that is ours.

    All speak of the request whose result it is; why a question was not answered says nothing about
    what was asked.
    """

    code: str
    meaning: str
    final: bool = True
    our_fault: bool = False
    already_reversed: bool = False
    no_such_receipt: bool = False


_ROWS = (
    MerchantResultCode(
        "1",
        "Our M-Pesa account holds too little. Payouts leave the Utility account:"
        " top it up in the portal, then try again.",
    ),
    MerchantResultCode("2", "The amount is below the smallest that M-Pesa sends."),
    MerchantResultCode("3", "The amount is above the largest that M-Pesa sends at once."),
    MerchantResultCode("4", "A daily limit of M-Pesa's would be exceeded. Try again tomorrow."),
    MerchantResultCode(
        "8", "The customer's M-Pesa account would hold more than it may. Ask for another number."
    ),
    MerchantResultCode(
        "11", "Our M-Pesa account is not active. Safaricom has to mend this.", our_fault=True
    ),
    MerchantResultCode(
        "15",
        "M-Pesa has seen a request with this id before and did nothing new.",
        final=False,
    ),
    MerchantResultCode(
        "17", "M-Pesa failed inside and does not say whether money moved.", final=False
    ),
    MerchantResultCode(
        "18",
        "The initiator's password was not accepted: check MPESA_INITIATOR_PASSWORD"
        " and MPESA_CERTIFICATE.",
        our_fault=True,
    ),
    MerchantResultCode(
        "20",
        "M-Pesa does not know the initiator: check MPESA_INITIATOR_NAME.",
        our_fault=True,
    ),
    MerchantResultCode(
        "21",
        "The initiator has no role for this. In the organisation portal give it, as it applies,"
        " Org Reversals Initiator, ORG B2C API Initiator, Transaction Status query ORG API or"
        " Balance Query ORG API.",
        our_fault=True,
    ),
    MerchantResultCode(
        "25",
        "M-Pesa could not read a field of our request. This is a fault of ours.",
        our_fault=True,
    ),
    MerchantResultCode("26", "M-Pesa is turning traffic away. Try again in a few minutes."),
    MerchantResultCode(
        "2001",
        "The initiator's name or password was not accepted: check MPESA_INITIATOR_NAME,"
        " MPESA_INITIATOR_PASSWORD and MPESA_CERTIFICATE. Once may be a passing fault of M-Pesa's.",
        our_fault=True,
    ),
    MerchantResultCode(
        "2006", "An M-Pesa account is not active: ask Safaricom about ours.", our_fault=True
    ),
    MerchantResultCode(
        "2028",
        "Our shortcode may not do this: ask Safaricom for the product.",
        our_fault=True,
    ),
    MerchantResultCode(
        "2032", "M-Pesa knows no transaction with this receipt.", no_such_receipt=True
    ),
    MerchantResultCode("2040", "The number is not registered with M-Pesa. Ask for another number."),
    MerchantResultCode(
        "8006",
        "The initiator is locked after wrong passwords: unlock it in the organisation portal.",
        our_fault=True,
    ),
    MerchantResultCode(
        "SFC_IC0003", "M-Pesa does not know the number. Check it, or ask for another one."
    ),
    MerchantResultCode(
        "TP40153",
        "The initiator has no permission for this, or belongs to another shortcode.",
        our_fault=True,
    ),
    MerchantResultCode("R000001", "The payment had been given back before.", already_reversed=True),
    MerchantResultCode(
        "R000002",
        "M-Pesa knows no payment with this receipt that our shortcode could give back.",
        no_such_receipt=True,
    ),
)

MERCHANT_RESULT_CODES = {row.code: row for row in _ROWS}
"""Every code that is known to come, but for success."""


def explain_merchant_result(code: str) -> MerchantResultCode:
    """What a failure means to the operator. A code that nobody knows proves nothing.

    Raises ValueError for ``0``: what was done is no failure to explain.
    """
    if code == SUCCESS:
        raise ValueError("Result code 0 is a success.")
    return MERCHANT_RESULT_CODES.get(code) or MerchantResultCode(
        code, "M-Pesa answered with a code that we do not know.", final=False
    )
