"""The page at `/`: phones to press pay or cancel on, customers to play, and what came of it."""

from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from daraja_simulator.c2b_request import read_payment
from daraja_simulator.calls import this_gateway
from daraja_simulator.control_calls import CALLS
from daraja_simulator.guard import require_control
from daraja_simulator.people import is_phone
from daraja_simulator.prompts import Prompt
from daraja_simulator.results import CANCELLED, SUCCESS
from daraja_simulator.tables import distinct_tables

page = Blueprint(
    "page", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
)
page.before_request(require_control)

_MOST_ROWS = 30
_BUTTONS = {"pay": SUCCESS, "cancel": CANCELLED}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@page.get("/")
def show_page() -> str:
    return _render()


def _render(error: str = "", typed: Mapping[str, str] | None = None) -> str:
    gateway = this_gateway()
    waiting = gateway.express.book.newest_waiting(_MOST_ROWS)
    faults = gateway.script.faults.to_json()
    now = gateway.clock.now()
    ledger = gateway.ledger
    return render_template(
        "page.html",
        now=now,
        factor=gateway.clock.factor,
        merchants=gateway.config.merchants,
        registrations=gateway.paybill.registrations.all(),
        mode=gateway.courier.mode.value,
        faults={name: chance for name, chance in faults.items() if chance},
        waiting=waiting,
        waiting_count=gateway.express.book.count_waiting(),
        ended=gateway.express.book.newest_ended(_MOST_ROWS),
        seconds_left={
            prompt.checkout_request_id: max(0, round((prompt.expires_at - now).total_seconds()))
            for prompt in waiting
        },
        error=error,
        typed=typed or {},
        payments=gateway.paybill.newest(_MOST_ROWS),
        services=gateway.services.newest(_MOST_ROWS),
        movements=[(one, ledger.undone_by(one)) for one in ledger.newest(_MOST_ROWS)],
        deliveries=gateway.courier.newest(_MOST_ROWS),
        tables=distinct_tables(),
        calls=CALLS,
        print_phone=_print_phone,
    )


@page.post("/payments")
def pay() -> BaseResponse | tuple[str, int]:
    """Pay by the menu of a phone, as a customer would."""
    gateway = this_gateway()
    try:
        wish = read_payment(request.form, gateway.config)
    except ValueError as error:
        return _render(str(error), request.form), 400
    gateway.paybill.start_payment(wish, seconds=0)
    return redirect(url_for("page.show_page", _anchor="paid"), 303)


@page.post("/prompts/<prompt_id>/<button>")
def press(prompt_id: str, button: str) -> BaseResponse:
    """Press a button of the phone. One that has meanwhile ended stays as it is."""
    gateway = this_gateway()
    prompt = gateway.express.book.find(prompt_id)
    if prompt is None or button not in _BUTTONS:
        raise NotFound
    _press(prompt, button)
    return redirect(url_for("page.show_page"), 303)


def _press(prompt: Prompt, button: str) -> None:
    """The payer's choice changes the result; what befalls the callback stays as planned."""
    plan = replace(prompt.plan, result=_BUTTONS[button], then=None)
    this_gateway().express.end_prompt(prompt, plan)


@page.after_request
def forbid_outside(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _print_phone(phone: str) -> str:
    if not is_phone(phone):  # a business
        return phone
    return f"+{phone[:3]} {phone[3:6]} {phone[6:9]} {phone[9:]}"
