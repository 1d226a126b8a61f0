"""Statements as M-Pesa's portal exports them, made for a test; nothing in them is anybody's."""

import csv
from io import BytesIO, StringIO

CLASSIC = (
    "Receipt No.",
    "Completion Time",
    "Initiation Time",
    "Details",
    "Transaction Status",
    "Paid In",
    "Withdrawn",
    "Balance",
    "Balance Confirmed",
    "Reason Type",
    "Other Party Info",
    "Linked Transaction ID",
    "A/C No.",
)
NEW = (
    "Receipt No",
    "Completion Time",
    "Details",
    "Transaction Status",
    "Paid In (KSHs)",
    "Withdrawn (KSHs)",
    "Balance (KSHs)",
)
PAYER = "2547****678 - WANJIKU **** MWANGI"
DAY = "22-11-2026"


def paid(receipt="UKM0000PAY", amount="1500.00", account="", at=f"{DAY} 12:01:00", **cells):
    """What a customer paid to the paybill."""
    return {
        "Receipt No.": receipt,
        "Completion Time": at,
        "Initiation Time": at,
        "Details": f"Pay Bill Online from {PAYER} Acc. {account}".strip(),
        "Transaction Status": "Completed",
        "Paid In": amount,
        "Reason Type": "Pay Bill Online",
        "Other Party Info": PAYER,
        "A/C No.": account,
        **cells,
    }


def charged(receipt="UKM0000PAY", amount="-8.25", at=f"{DAY} 12:01:00", **cells):
    """M-Pesa's charge, which has the receipt and the reason of its payment."""
    return {
        "Receipt No.": receipt,
        "Completion Time": at,
        "Details": "Pay Bill Charge",
        "Transaction Status": "Completed",
        "Withdrawn": amount,
        "Reason Type": "Pay Bill Online",
        **cells,
    }


def reversed_(receipt="UKM0000REV", original="UKM0000PAY", amount="-1500.00", **cells):
    return {
        "Receipt No.": receipt,
        "Completion Time": f"{DAY} 13:00:00",
        "Details": "Pay Utility Reversal by SHOP\\amina",
        "Transaction Status": "Completed",
        "Withdrawn": amount,
        "Reason Type": "Pay Utility Reversal",
        "Other Party Info": PAYER,
        "Linked Transaction ID": original,
        **cells,
    }


def paid_out(receipt="UKM0000OUT", conversation="", amount="-500.00", **cells):
    """Money sent to a customer's phone, through the API where a conversation is named."""
    via = f" via API. Original conversation ID is {conversation}." if conversation else ""
    return {
        "Receipt No.": receipt,
        "Completion Time": f"{DAY} 13:30:00",
        "Details": f"Business Payment to {PAYER}{via}",
        "Transaction Status": "Completed",
        "Withdrawn": amount,
        "Reason Type": "Business Payment to Customer via API",
        "Other Party Info": PAYER,
        **cells,
    }


def swept(receipt="UKM0000SWP", amount="-20000.00", **cells):
    """A move between the shop's own accounts, of which there are two lines with one receipt."""
    return {
        "Receipt No.": receipt,
        "Completion Time": f"{DAY} 23:09:07",
        "Details": "Utility Account to Organization Settlement Account",
        "Transaction Status": "Completed",
        "Withdrawn": amount,
        "Reason Type": "Utility Account to Organization Settlement Account",
        **cells,
    }


def preamble(
    shortcode="174379",
    account="Utility Account",
    first=DAY,
    last=DAY,
    reported="23-11-2026 07:00:00",
):
    rows = [
        ["Account Holder:", "Duka la Amina"],
        ["Short Code:", shortcode],
        ["Account:", account],
        ["Time Period:", "From", f"{first} 00:00:00", "To", f"{last} 23:59:59"],
        ["Operator:", "amina", "Organization:", "Duka la Amina"],
        ["Opening Balance:", "0.0", "Closing Balance:", "8530.0", "Total Paid In:", "1,500.00"],
    ]
    if reported:
        rows[4] += ["Date of Report:", reported]
    return rows


def classic(*lines, above=None, columns=CLASSIC, delimiter=",") -> bytes:
    """With lines about the account above; ``above=[]`` leaves them out."""
    rows = preamble() if above is None else above
    rows = [*rows, list(columns)]
    rows += [[line.get(name, "") for name in columns] for line in lines]
    return _written(rows, delimiter)


def new_layout(*lines, delimiter=",") -> bytes:
    """Without anything above, with amounts grouped, and all else in the details."""
    rows = [list(NEW)]
    for line in lines:
        moment = line["Completion Time"].replace("-", "/")
        amounts = [line.get("Paid In") or "0.00", line.get("Withdrawn") or "0.00", "1,000.00"]
        rows.append(
            [line["Receipt No."], moment, line["Details"], line["Transaction Status"], *amounts]
        )
    return _written(rows, delimiter)


def file_of(content: bytes) -> BytesIO:
    return BytesIO(content)


def _written(rows, delimiter) -> bytes:
    text = StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()
