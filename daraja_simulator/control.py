"""The control API, `/__sim/*`: ours, not Safaricom's. Everything in it is JSON."""

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, Conflict, HTTPException, NotFound

from daraja_simulator.daraja import answer_json, this_gateway
from daraja_simulator.delivery import Mode
from daraja_simulator.gateway import Gateway
from daraja_simulator.guard import require_control
from daraja_simulator.outcomes import DEFAULT, OUTCOMES, Outcome, find_outcome
from daraja_simulator.prompts import Prompt
from daraja_simulator.script import read_faults

control = Blueprint("control", __name__, url_prefix="/__sim")
control.before_request(require_control)

_MOST_COPIES = 1000
_HIGHEST = 1_000_000_000
_WAIT_SECONDS = 15.0

# What the page prints; each line is a route below.
CALLS = (
    ("GET /__sim/status", "the time, the settings, how much there is of everything"),
    ("GET /__sim/outcomes", "the table below"),
    ("GET /__sim/prompts?phone=&state=", "all prompts, oldest first"),
    ("GET /__sim/prompts/ID", "one prompt"),
    ("POST /__sim/prompts/ID/pay", "end it now: pay, cancel, or any outcome's name or digits"),
    ("POST /__sim/prompts/ID/replay", '{"times": 50, "at_once": true} its callback again'),
    (
        "POST /__sim/next",
        '{"outcome": "wrong_pin", "phone": "2547…", "count": 1} for pushes to come',
    ),
    ("POST /__sim/faults", '{"callback_lost": 0.3, "answer_lost": 0.1, …} probabilities'),
    ("POST /__sim/clock", '{"factor": 60, "advance": 120, "wait": true}'),
    ("POST /__sim/callbacks", '{"mode": "deliver"}, or hold, or drop'),
    ("GET /__sim/deliveries", "every callback: when, what, and the answer it got"),
    ("GET /__sim/ledger", "the money that really moved"),
    ("POST /__sim/tokens/expire", "every access token dies"),
    ("POST /__sim/reset", "forget prompts, money, deliveries, faults; tokens and clock stay"),
)


def answer_control_error(error: HTTPException) -> Response:
    return answer_json({"error": error.description or error.name}, error.code or 500)


@control.get("/status")
def show_status() -> Response:
    gateway = this_gateway()
    return answer_json(
        {
            **_clock_json(gateway),
            "seed": gateway.dice.seed,
            "callbacks": gateway.courier.mode.value,
            "faults": gateway.script.faults.to_json(),
            "prompts": len(gateway.prompts()),
            "deliveries": len(gateway.courier.deliveries()),
            "payments": len(gateway.ledger.movements()),
            "merchants": [
                {
                    "shortcode": merchant.shortcode,
                    "receiver": merchant.receiver,
                    "transaction_type": merchant.transaction_type.value,
                }
                for merchant in gateway.config.merchants
            ],
        }
    )


@control.get("/outcomes")
def list_outcomes() -> Response:
    return answer_json({"outcomes": [one.to_json() for one in (DEFAULT, *OUTCOMES)]})


@control.get("/prompts")
def list_prompts() -> Response:
    phone, state = request.args.get("phone"), request.args.get("state")
    prompts = [
        prompt.to_json()
        for prompt in this_gateway().prompts()
        if phone in {None, "", prompt.push.phone} and state in {None, "", prompt.state.value}
    ]
    return answer_json({"prompts": prompts})


@control.get("/prompts/<prompt_id>")
def show_prompt(prompt_id: str) -> Response:
    return answer_json(_find_prompt(prompt_id).to_json())


@control.post("/prompts/<prompt_id>/<ending>")
def end_prompt(prompt_id: str, ending: str) -> Response:
    """End a waiting prompt by an outcome; the answer to its push has long been given."""
    prompt = _find_prompt(prompt_id)
    outcome = _find_outcome(ending)
    if outcome.plan.refusal:
        raise BadRequest(f"{outcome.name} refuses a push; it ends no prompt.")
    if not this_gateway().end_prompt(prompt, outcome.plan):
        raise Conflict("The prompt has ended already.")
    return answer_json(prompt.to_json())


@control.post("/prompts/<prompt_id>/replay")
def replay_callback(prompt_id: str) -> Response:
    """Answer when every copy has been delivered or given up."""
    prompt = _find_prompt(prompt_id)
    body = _read_json()
    times = _whole(body, "times", 1)
    if prompt.callback_body is None:
        raise Conflict("The prompt still waits.")
    deliveries = this_gateway().replay(prompt, times, at_once=_flag(body, "at_once"))
    return answer_json({"deliveries": [one.to_json() for one in deliveries]})


@control.get("/next")
def list_forced() -> Response:
    gateway = this_gateway()
    with gateway.lock:
        return answer_json({"next": gateway.script.forced()})


@control.post("/next")
def force_next() -> Response:
    """Decide the next pushes to a phone, or without one the next pushes to any."""
    gateway = this_gateway()
    body = _read_json()
    outcome = _find_outcome(str(body.get("outcome", "")))
    phone = str(body["phone"]) if body.get("phone") else None
    count = _whole(body, "count", 1)
    with gateway.lock:
        gateway.script.force(outcome, phone, count)
        return answer_json({"next": gateway.script.forced()})


@control.get("/faults")
def show_faults() -> Response:
    return answer_json(this_gateway().script.faults.to_json())


@control.post("/faults")
def set_faults() -> Response:
    """Change the probabilities that are named, and leave the others."""
    gateway = this_gateway()
    with gateway.lock:
        try:
            gateway.script.faults = read_faults(_read_json(), gateway.script.faults)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return answer_json(gateway.script.faults.to_json())


@control.get("/clock")
def show_clock() -> Response:
    return answer_json(_clock_json(this_gateway()))


@control.post("/clock")
def set_clock() -> Response:
    """What an advance brings has happened when this answers; with `wait`, its callbacks too."""
    gateway = this_gateway()
    body = _read_json()
    waits = _flag(body, "wait")
    try:
        if "factor" in body:
            gateway.clock.set_factor(_number(body, "factor"))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    seconds = _number(body, "advance") if "advance" in body else 0.0
    if waits:
        gateway.advance(seconds, _WAIT_SECONDS)
    else:
        gateway.timetable.advance(seconds)
    return answer_json(_clock_json(gateway))


@control.get("/callbacks")
def show_callback_mode() -> Response:
    return answer_json({"mode": this_gateway().courier.mode.value})


@control.post("/callbacks")
def set_callback_mode() -> Response:
    """Deliver, hold or drop; to deliver again releases what is held."""
    try:
        mode = Mode(str(_read_json().get("mode", "")))
    except ValueError as error:
        raise BadRequest("The mode is deliver, hold or drop.") from error
    this_gateway().courier.set_mode(mode)
    return answer_json({"mode": mode.value})


@control.get("/deliveries")
def list_deliveries() -> Response:
    deliveries = this_gateway().courier.deliveries()
    return answer_json({"deliveries": [one.to_json() for one in deliveries]})


@control.get("/ledger")
def show_ledger() -> Response:
    movements = this_gateway().ledger.movements()
    return answer_json(
        {
            "payments": [one.to_json() for one in movements],
            "total": sum(one.amount for one in movements),
        }
    )


@control.post("/tokens/expire")
def expire_tokens() -> Response:
    return answer_json({"expired": this_gateway().tokens.expire_all()})


@control.post("/reset")
def reset() -> Response:
    this_gateway().reset()
    return answer_json({"reset": True})


def _clock_json(gateway: Gateway) -> dict[str, Any]:
    return {"now": gateway.clock.now().isoformat(), "factor": gateway.clock.factor}


def _find_prompt(prompt_id: str) -> Prompt:
    prompt = this_gateway().find_prompt(prompt_id)
    if prompt is None:
        raise NotFound("There is no such prompt.")
    return prompt


def _find_outcome(text: str) -> Outcome:
    outcome = find_outcome(text)
    if outcome is None:
        raise BadRequest(f"There is no outcome called {text!r}; /__sim/outcomes lists them.")
    return outcome


def _read_json() -> dict[str, Any]:
    """The body as an object; no body is an empty one, whatever its content type."""
    if not request.get_data():
        return {}
    body = request.get_json(force=True)
    if not isinstance(body, dict):
        raise BadRequest("The body is a JSON object.")
    return body


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} is true or false.")
    return value


def _whole(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_COPIES:
        raise BadRequest(f"{name} is a whole number from 1 to {_MOST_COPIES}.")
    return value


def _number(body: dict[str, Any], name: str) -> float:
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _HIGHEST:
        raise BadRequest(f"{name} is a number from 0 to {_HIGHEST}.")
    return float(value)
