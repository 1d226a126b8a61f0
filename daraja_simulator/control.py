"""The control API, `/__sim/*`: ours, not Safaricom's. Everything in it is JSON."""

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, Conflict, HTTPException, NotFound

from daraja_simulator.apis import Api
from daraja_simulator.calls import answer_json, this_gateway
from daraja_simulator.control_input import (
    is_chosen,
    read_copies,
    read_flag,
    read_number,
    read_object,
    take_newest,
)
from daraja_simulator.courier import Mode
from daraja_simulator.express import Express
from daraja_simulator.faults import read_faults
from daraja_simulator.gateway import Gateway
from daraja_simulator.guard import require_control
from daraja_simulator.outcomes import TABLE as PUSH_TABLE
from daraja_simulator.prompts import Prompt, PromptState
from daraja_simulator.table import Outcome, Table
from daraja_simulator.tables import TABLES, tables_to_json

control = Blueprint("control", __name__, url_prefix="/__sim")
control.before_request(require_control)

_WAIT_SECONDS = 15.0


def answer_control_error(error: HTTPException) -> Response:
    return answer_json({"error": error.description or error.name}, error.code or 500)


@control.get("/status")
def show_status() -> Response:
    gateway = this_gateway()
    return answer_json(
        {
            **_clock_json(gateway),
            **_counts_json(gateway),
            "seed": gateway.dice.seed,
            "callbacks": gateway.courier.mode.value,
            "faults": gateway.script.faults.to_json(),
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
    """Pushes under `outcomes`, the other tables under names of their own."""
    return answer_json(tables_to_json())


@control.get("/prompts")
def list_prompts() -> Response:
    prompts = [
        prompt
        for prompt in _candidates(this_gateway().express)
        if is_chosen("phone", prompt.push.phone) and is_chosen("state", prompt.state.value)
    ]
    return answer_json({"prompts": [one.to_json() for one in take_newest(prompts)]})


@control.get("/prompts/<prompt_id>")
def show_prompt(prompt_id: str) -> Response:
    return answer_json(_find_prompt(prompt_id).to_json())


@control.post("/prompts/<prompt_id>/<ending>")
def end_prompt(prompt_id: str, ending: str) -> Response:
    """End a waiting prompt by an outcome; the answer to its push has long been given."""
    prompt = _find_prompt(prompt_id)
    outcome = _find_outcome(PUSH_TABLE, ending)
    if outcome.plan.refusal:
        raise BadRequest(f"{outcome.name} refuses a push; it ends no prompt.")
    if not this_gateway().express.end_prompt(prompt, outcome.plan):
        raise Conflict("The prompt has ended already.")
    return answer_json(prompt.to_json())


@control.post("/prompts/<prompt_id>/replay")
def replay_callback(prompt_id: str) -> Response:
    """Answer when every copy has been delivered or given up."""
    prompt = _find_prompt(prompt_id)
    body = read_object()
    times = read_copies(body, "times", 1)
    if prompt.callback_body is None:
        raise Conflict("The prompt still waits.")
    deliveries = this_gateway().express.replay(prompt, times, at_once=read_flag(body, "at_once"))
    return answer_json({"deliveries": [one.to_json() for one in deliveries]})


@control.get("/next")
def list_forced() -> Response:
    gateway = this_gateway()
    with gateway.lock:
        return answer_json({"next": gateway.script.forced()})


@control.post("/next")
def force_next() -> Response:
    """Decide what is next of an API, for one phone, or without one for whichever comes first."""
    gateway = this_gateway()
    body = read_object()
    api = _read_api(body)
    outcome = _find_outcome(TABLES[api], str(body.get("outcome", "")))
    phone = str(body["phone"]) if body.get("phone") else None
    count = read_copies(body, "count", 1)
    with gateway.lock:
        gateway.script.force(api, outcome.name, phone, count)
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
            gateway.script.faults = read_faults(read_object(), gateway.script.faults)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return answer_json(gateway.script.faults.to_json())


@control.get("/clock")
def show_clock() -> Response:
    return answer_json(_clock_json(this_gateway()))


@control.post("/clock")
def set_clock() -> Response:
    """What an advance brings has happened when this answers; with `wait`, its callbacks too.

    Unless one of them takes longer than `timeout` real seconds: then `idle` is false.
    """
    gateway = this_gateway()
    body = read_object()
    waits = read_flag(body, "wait")
    timeout = read_number(body, "timeout") if "timeout" in body else _WAIT_SECONDS
    try:
        if "factor" in body:
            gateway.clock.set_factor(read_number(body, "factor"))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    seconds = read_number(body, "advance") if "advance" in body else 0.0
    if waits:
        is_idle = gateway.advance(seconds, timeout)
        return answer_json({**_clock_json(gateway), "idle": is_idle})
    gateway.timetable.advance(seconds)
    return answer_json(_clock_json(gateway))


@control.get("/callbacks")
def show_callback_mode() -> Response:
    return answer_json({"mode": this_gateway().courier.mode.value})


@control.post("/callbacks")
def set_callback_mode() -> Response:
    """Deliver, hold or drop; to deliver again releases what is held."""
    try:
        mode = Mode(str(read_object().get("mode", "")))
    except ValueError as error:
        raise BadRequest("The mode is deliver, hold or drop.") from error
    this_gateway().courier.set_mode(mode)
    return answer_json({"mode": mode.value})


@control.get("/deliveries")
def list_deliveries() -> Response:
    deliveries = [
        one
        for one in this_gateway().courier.deliveries()
        if is_chosen("kind", one.letter.kind.value)
        and is_chosen("state", one.state.value)
        and is_chosen("reference", one.letter.reference)
    ]
    return answer_json({"deliveries": [one.to_json() for one in take_newest(deliveries)]})


@control.post("/tokens/expire")
def expire_tokens() -> Response:
    return answer_json({"expired": this_gateway().tokens.expire_all()})


@control.post("/reset")
def reset() -> Response:
    this_gateway().reset()
    return answer_json({"reset": True})


def _clock_json(gateway: Gateway) -> dict[str, Any]:
    return {"now": gateway.clock.now().isoformat(), "factor": gateway.clock.factor}


def _counts_json(gateway: Gateway) -> dict[str, Any]:
    """How much there is, how much of it has not ended, and what the clock will bring next."""
    states = gateway.courier.counts()
    following = gateway.timetable.next()
    return {
        "prompts": gateway.express.book.count(),
        "waiting": gateway.express.book.count_waiting(),
        "payments": gateway.ledger.count_payments(),
        "requests": gateway.services.count(),
        "deliveries": sum(states.values()),
        "deliveries_by_state": states,
        "on_the_way": states["sending"],
        "due": gateway.timetable.count(),
        "next": {"at": following[0].isoformat(), "what": following[1]} if following else None,
    }


def _candidates(express: Express) -> list[Prompt]:
    """Not all there are, where fewer will do: a drill asks often."""
    phone = request.args.get("phone")
    if phone:
        return express.book.of_phone(phone)
    is_waiting = request.args.get("state") == PromptState.WAITING
    return express.book.waiting() if is_waiting else express.book.all()


def _find_prompt(prompt_id: str) -> Prompt:
    prompt = this_gateway().express.book.find(prompt_id)
    if prompt is None:
        raise NotFound("There is no such prompt.")
    return prompt


def _read_api(body: dict[str, Any]) -> Api:
    name = str(body.get("api") or Api.EXPRESS)
    if name not in TABLES:
        raise BadRequest(f"The api is one of {', '.join(TABLES)}.")
    return Api(name)


def _find_outcome(table: Table[Any], text: str) -> Outcome[Any]:
    outcome = table.find(text)
    if outcome is None:
        raise BadRequest(f"There is no outcome called {text!r}; /__sim/outcomes lists them.")
    return outcome
