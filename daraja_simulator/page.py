"""The page at `/`: phones to press pay or cancel on, and what became of the callbacks."""

from dataclasses import replace

from flask import Blueprint, Response, redirect, render_template, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from daraja_simulator.calls import this_gateway
from daraja_simulator.control_calls import CALLS
from daraja_simulator.guard import require_control
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
    gateway = this_gateway()
    waiting = gateway.express.waiting()[::-1]
    faults = gateway.script.faults.to_json()
    now = gateway.clock.now()
    return render_template(
        "page.html",
        now=now,
        factor=gateway.clock.factor,
        merchants=gateway.config.merchants,
        mode=gateway.courier.mode.value,
        faults={name: chance for name, chance in faults.items() if chance},
        waiting=waiting,
        ended=gateway.express.newest_ended(_MOST_ROWS),
        seconds_left={
            prompt.checkout_request_id: max(0, round((prompt.expires_at - now).total_seconds()))
            for prompt in waiting
        },
        deliveries=gateway.courier.newest(_MOST_ROWS),
        tables=distinct_tables(),
        calls=CALLS,
        print_phone=_print_phone,
    )


@page.post("/prompts/<prompt_id>/<button>")
def press(prompt_id: str, button: str) -> BaseResponse:
    """Press a button of the phone. One that has meanwhile ended stays as it is."""
    gateway = this_gateway()
    prompt = gateway.express.find_prompt(prompt_id)
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
    return f"+{phone[:3]} {phone[3:6]} {phone[6:9]} {phone[9:]}"
