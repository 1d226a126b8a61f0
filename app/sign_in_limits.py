"""How often passwords may be tried, and accounts made. Only failures count against a sign-in.

Three counts guard it. One account from one address: guessing at home. One account from anywhere:
guessing from many addresses; an address from which the account was signed in to before is free of
this one, so that nobody can lock the owner out. One address against any account: one password
tried on everybody.
"""

import hashlib
import math
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Response, g, request
from flask_limiter import RequestLimit

from app.context import now
from app.db import reading
from app.errors import TooManyRequests
from app.security import current_actor
from app.services.users import Credentials, find_account, has_signed_in_from
from app.utils.address import subscriber_of
from app.utils.limiter import by_address, limit_of, limiter

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_CREDENTIALS = "sokoni.credentials"
_ACCOUNT = "sokoni.account"


def limit_registrations(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """One count for every route that makes accounts."""
    limited: Callable[Parameters, Result] = limiter.shared_limit(
        limit_of("register_limit"), scope="register", key_func=by_address, on_breach=_refuse
    )(view)
    return limited


def limit_sign_ins(view: Callable[[Credentials], Result]) -> Callable[[Credentials], Result]:
    """Stands right above a view that takes credentials."""
    limited = view
    for scope, setting, key_func, exempt_when in (
        ("login_pair", "login_failure_limit", _by_account_and_address, None),
        ("login_account", "login_failure_account_limit", _by_account, _is_known_address),
        ("login_address", "login_failure_address_limit", by_address, None),
    ):
        limited = limiter.shared_limit(
            limit_of(setting),
            scope=scope,
            key_func=key_func,
            exempt_when=exempt_when,
            deduct_when=_was_wrong_password,
            on_breach=_refuse,
        )(limited)

    @wraps(view)
    def remembering(credentials: Credentials) -> Result:
        request.environ[_CREDENTIALS] = credentials
        return limited(credentials)

    return remembering


def limit_password_changes(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Who holds a stolen access token must not find the password with it."""
    limited: Callable[Parameters, Result] = limiter.shared_limit(
        limit_of("login_failure_limit"),
        scope="password_change",
        key_func=lambda: f"user:{current_actor().user_id}",
        deduct_when=_was_wrong_password,
        on_breach=_refuse,
    )(view)
    return limited


def _was_wrong_password(response: Response) -> bool:
    refused = response.status_code in {400, 401}
    return refused and g.get("problem_code") in {"wrong_credentials", "wrong_password"}


def _refuse(spent: RequestLimit) -> Response:
    raise TooManyRequests(
        "Too many attempts. Wait as long as Retry-After says, then try again.",
        retry_after_seconds=max(1, math.ceil(spent.reset_at - now().timestamp())),
    )


def _by_account() -> str:
    """The account, whichever of its names was typed; for an unknown name, the name."""
    if _ACCOUNT not in request.environ:
        credentials = _credentials()
        with reading() as session:
            user = find_account(session, credentials.by, credentials.key)
        name = f"{credentials.by}:{credentials.key}".encode()
        request.environ[_ACCOUNT] = (
            f"account:{user.id}" if user else f"name:{hashlib.sha256(name).hexdigest()}"
        )
    return str(request.environ[_ACCOUNT])


def _by_account_and_address() -> str:
    return f"{_by_account()}|{by_address()}"


def _is_known_address() -> bool:
    subscriber = subscriber_of(request.remote_addr)
    if subscriber is None:
        return False
    credentials = _credentials()
    with reading() as session:
        return has_signed_in_from(session, credentials.by, credentials.key, subscriber)


def _credentials() -> Credentials:
    credentials: Credentials = request.environ[_CREDENTIALS]
    return credentials
