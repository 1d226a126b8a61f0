"""The refusals that a caller is meant to see. Anything else that is raised is a bug."""

from typing import Any


class AppError(Exception):
    """An expected refusal: a stable code for programs, a sentence for people.

    ``extra`` holds plain values that become members of the problem document; ``errors`` names the
    fields at fault as ``{"field": "products.0.quantity", "message": "…"}``.
    """

    status = 500
    title = "Something went wrong"
    default_code = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: list[dict[str, str]] | None = None,
        retry_after_seconds: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors or []
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra


class InvalidInput(AppError):
    status = 400
    title = "Invalid input"
    default_code = "invalid_input"

    @classmethod
    def field(cls, name: str, message: str, **extra: Any) -> "InvalidInput":
        """A refusal of one field by a rule that no schema can know."""
        return cls(message, errors=[{"field": name, "message": message}], **extra)


class Unauthenticated(AppError):
    status = 401
    title = "Not signed in"
    default_code = "unauthenticated"


class Forbidden(AppError):
    status = 403
    title = "Not allowed"
    default_code = "forbidden"


class NotFound(AppError):
    """Not there, or not yours: the two are never told apart."""

    status = 404
    title = "Not found"
    default_code = "not_found"


class Conflict(AppError):
    """The request is sound, but the present state stands against it."""

    status = 409
    title = "Conflict"
    default_code = "conflict"


class PreconditionFailed(AppError):
    status = 412
    title = "Changed meanwhile"
    default_code = "precondition_failed"


class TooLarge(AppError):
    status = 413
    title = "Body too large"
    default_code = "body_too_large"


class UnsupportedMedia(AppError):
    status = 415
    title = "Unsupported media type"
    default_code = "unsupported_media_type"


class Unprocessable(AppError):
    status = 422
    title = "Idempotency key used before"
    default_code = "idempotency_key_reused"


class TooManyRequests(AppError):
    status = 429
    title = "Too many requests"
    default_code = "rate_limited"


class BadGateway(AppError):
    """The payment network answered, and refused."""

    status = 502
    title = "The payment network refused"
    default_code = "payment_network_refused"


class Unavailable(AppError):
    """Something that we stand on does not answer; trying again later is right."""

    status = 503
    title = "Not available now"
    default_code = "unavailable"
