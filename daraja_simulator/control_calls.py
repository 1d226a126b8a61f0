"""The list of the control API's calls that the page prints; each line is a route."""

CALLS = (
    ("GET /__sim/status", "the time, the settings, how much there is, what is due next"),
    ("GET /__sim/outcomes", "the tables of outcomes"),
    ("GET /__sim/prompts?phone=&state=&limit=", "prompts, oldest first; the newest so many"),
    ("GET /__sim/prompts/ID", "one prompt"),
    ("POST /__sim/prompts/ID/pay", "end it now: pay, cancel, or any outcome's name or digits"),
    ("POST /__sim/prompts/ID/replay", '{"times": 50, "at_once": true} its callback again'),
    (
        "POST /__sim/payments",
        '{"shortcode": "174379", "phone": "2547…", "amount": 100, "account": "…"}: a customer pays',
    ),
    ("GET /__sim/payments?phone=&state=&limit=", "what customers paid by their menu"),
    ("POST /__sim/payments/ID/replay", '{"times": 2} its confirmation again'),
    ("GET /__sim/requests?api=&state=&limit=", "payouts, reversals, inquiries and transfers"),
    ("GET /__sim/requests/ID", "one of them, by either of its conversation ids"),
    ("POST /__sim/requests/ID/replay", '{"times": 2} its result again'),
    ("GET /__sim/registration", "where confirmations and validations go"),
    (
        "POST /__sim/registration",
        '{"shortcode": …, "confirmation_url": …, "validation_url": …} by hand',
    ),
    ("POST /__sim/registration/forget", "as the portal's URL management does"),
    (
        "POST /__sim/next",
        '{"api": "stk", "outcome": "wrong_pin", "phone": "2547…", "count": 1} for what is to come',
    ),
    ("POST /__sim/faults", '{"callback_lost": 0.3, "answer_lost": 0.1, …} probabilities'),
    ("POST /__sim/clock", '{"factor": 60, "advance": 120, "wait": true, "timeout": 15}'),
    ("POST /__sim/callbacks", '{"mode": "deliver"}, or hold, or drop: all that is posted'),
    (
        "GET /__sim/deliveries?kind=&state=&reference=&limit=",
        "everything that was posted: when, what, and the answer it got",
    ),
    ("GET /__sim/ledger?phone=&merchant=&kind=&limit=", "the money that really moved"),
    (
        "GET /__sim/statement.csv?from=&to=&merchant=&layout=",
        "the account's statement as the portal exports it; layout is classic or new",
    ),
    ("POST /__sim/tokens/expire", "every access token dies"),
    (
        "POST /__sim/reset",
        "forget prompts, payments, money, deliveries, faults; tokens, registrations, clock stay",
    ),
)
