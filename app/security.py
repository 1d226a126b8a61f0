"""Who may call a view, and who is calling.

Every view carries one guard, which stands right under its route, so that nothing of a request is
read before its sender is known::

    @orders.post("/orders")
    @require_user
    @orders.arguments(OrderSchema)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.config import Config
from app.db import current_database
from app.errors import Forbidden, Unauthenticated, Unavailable
from app.policies import Actor, Role
from app.ports import Clock
from app.services.users.sessions import SignedIn, find_signed_in
from app.utils.token import BadToken, Claims, TokenKind, init_tokens, read_token

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_SIGNED_IN = "sokoni.signed_in"
_CLOCK = "sokoni_security_clock"
_SCHEME = "Bearer "
_RETRY_SECONDS = 2
"""As for whatever else the database is asked: it restarts in a second or two."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What a view declares: open to anyone, to who is signed in, or to who holds a role."""

    signed_in: bool
    roles: frozenset[Role] = frozenset()

    def __str__(self) -> str:
        if not self.signed_in:
            return "anyone"
        return " or ".join(sorted(self.roles)) or "signed in"


PUBLIC = Guard(signed_in=False)
SIGNED_IN = Guard(signed_in=True)


def init_security(app: Flask, config: Config, clock: Clock) -> None:
    """Give an app its tokens and the clock that they are held against."""
    app.extensions[_CLOCK] = clock
    init_tokens(
        app,
        secret=config.jwt_secret_key,
        access_seconds=config.access_token_seconds,
        refresh_seconds=config.refresh_token_seconds,
        clock=clock,
    )


def public(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Anyone may call this view; it may ask for optional_actor()."""
    return marked(view, PUBLIC)


def require_user(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Only who is signed in may call this view; anyone else gets a 401."""

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        current_actor()
        return view(*args, **kwargs)

    return marked(guarded, SIGNED_IN)


def require_role(
    *roles: Role,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Only who holds one of these roles now may call this view; who is signed in gets a 403."""

    def guard(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(view)
        def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            if current_actor().role not in roles:
                raise Forbidden("Your account does not have the role that this needs.")
            return view(*args, **kwargs)

        return marked(guarded, Guard(signed_in=True, roles=frozenset(roles)))

    return guard


def require_refresh_token(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Only a refresh token opens this view. Whether it is the session's last is for the service."""

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        current_refresh_claims()
        return view(*args, **kwargs)

    return marked(guarded, SIGNED_IN)


def current_refresh_claims() -> Claims:
    """What the refresh token of this request says."""
    return _claims_of_request(TokenKind.REFRESH)


def current_actor() -> Actor:
    """Who is calling. Raises Unauthenticated for nobody, and for a token that is not good now."""
    return current_sign_in().actor


def optional_actor() -> Actor | None:
    """Who is calling, or None for nobody. A token that is not good is refused all the same."""
    return current_actor() if "Authorization" in request.headers else None


def known_user_id() -> int | None:
    """Whom this request was found to come from, if anybody asked; for the access log."""
    found: SignedIn | None = request.environ.get(_SIGNED_IN)
    return found.actor.user_id if found else None


def current_sign_in() -> SignedIn:
    """The caller and their session: one query a request, however often it is asked for."""
    found: SignedIn | None = request.environ.get(_SIGNED_IN)
    if found is None:
        found = sign_in_of(_claims_of_request(TokenKind.ACCESS))
        if found is None:
            raise _refusal()
        remember_sign_in(found)
    return found


def remember_sign_in(found: SignedIn) -> None:
    """From here on this request is this caller's."""
    request.environ[_SIGNED_IN] = found


def _claims_of_request(kind: TokenKind) -> Claims:
    """What the request's one bearer token says; whether its session stands is not yet asked."""
    header = request.headers.get("Authorization")
    if header is None:
        raise Unauthenticated("Sign in, and send the access token as: Authorization: Bearer …")
    # Two headers arrive joined by a comma, which no token holds.
    if not header.startswith(_SCHEME):
        raise _refusal()
    try:
        return read_token(header.removeprefix(_SCHEME), kind)
    except BadToken as error:
        raise _refusal() from error


def sign_in_of(claims: Claims) -> SignedIn | None:
    """Who a token names, if the sign-in behind it still stands. Raises Unavailable."""
    now = current_app.extensions[_CLOCK]()
    try:
        asking = current_database().asking
        return find_signed_in(asking, claims.user_id, claims.session_id, now)
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        # Not knowing whether a token was revoked is no reason to believe it.
        raise Unavailable(
            "Your sign-in cannot be checked right now. Try again in a moment.",
            retry_after_seconds=_RETRY_SECONDS,
        ) from error


def _refusal() -> Unauthenticated:
    """One answer for every bad token: why it is bad is nobody's business but ours."""
    return Unauthenticated(
        "The token is wrong, has expired or was revoked. Sign in again.", code="invalid_token"
    )


def marked(view: Callable[Parameters, Result], guard: Guard) -> Callable[Parameters, Result]:
    vars(view)["guard"] = guard
    return view
