"""What the buyer is told of a claim, in one sentence or two for each way that it may go."""

ASKING = "We are asking M-Pesa about this payment."
ACCEPTED = "We found your payment. Thank you."
WITH_A_PERSON = (
    "A person at the shop is looking for this payment. You will find the outcome here and among"
    " your notifications."
)
NOT_FOUND = (
    "M-Pesa knows no payment to us with this code. Compare it with M-Pesa's message, letter by"
    " letter, and send it again."
)
NOT_COMPLETED = "According to M-Pesa this payment was not completed, and no money came to us."
SENT_BACK = "According to M-Pesa this payment was sent back to you."
NOT_OURS = "According to M-Pesa this payment went to another number than ours."
COUNTED = "This M-Pesa payment is counted already. If that cannot be, tell the shop."
NAMED_BY_ANOTHER = (
    "Another customer has named this payment too. A person at the shop compares the two."
)
LOOKED_FOR = "A person at the shop looked for this payment and could not find that it is yours."
