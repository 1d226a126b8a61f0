"""Rows that keep the machinery honest over many processes: keys, counters, one shared token."""

from datetime import datetime

from sqlalchemy import Float, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import (
    MAX_COUNT,
    Base,
    BigId,
    Id,
    Moment,
    When,
    refers_to,
    table,
    whole,
)


class IdempotencyKey(Base):
    """One key of one user, and the answer that was given under it.

    Written in the transaction of the effect that it guards, so that neither exists without the
    other. ``status`` is empty while the work is still under way.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = table(
        UniqueConstraint("user_id", "route", "key"),
        Index("ix_idempotency_keys_expires_at", "expires_at"),
    )

    id: Mapped[Id]
    user_id: Mapped[int] = refers_to("users.id")
    route: Mapped[str] = mapped_column(String(120))
    key: Mapped[str] = mapped_column(String(255))
    request_hash: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[int | None] = mapped_column(BigId)
    status: Mapped[int | None] = mapped_column(Integer)
    body: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[When]
    expires_at: Mapped[When]


class RateCounter(Base):
    """How often something was done in a window, counted over all processes."""

    __tablename__ = "rate_counters"
    __table_args__ = (
        whole("hits", 0, MAX_COUNT),
        Index("ix_rate_counters_expires_at", "expires_at"),
    )

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    hits: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[float] = mapped_column(Float)


class SharedToken(Base):
    """The payment network's access token, one for all processes that share a consumer key."""

    __tablename__ = "shared_tokens"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)


class Pace(Base):
    """The moment before which the next call of some kind may not be made, over all workers.

    Its lock is what they take turns by: one row for all status queries, one for each phone.
    """

    __tablename__ = "paces"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    next_at: Mapped[When]


class WorkerHeartbeat(Base):
    """When a worker on this host last looked for due work: one row a host, however many it has."""

    __tablename__ = "worker_heartbeats"

    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    swept_at: Mapped[When]


class DoctorProbe(Base):
    """A message that `manage.py doctor` has sent to our own public address, and how it arrived.

    Only who knows the secret can fill it in, and only for a while. ``remote_addr`` is who the web
    server took for the sender, ``forwarded_for`` the header that it judged by.
    """

    __tablename__ = "doctor_probes"
    __table_args__ = table()

    id: Mapped[Id]
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    made_at: Mapped[When]
    heard_at: Mapped[datetime | None] = mapped_column(Moment)
    remote_addr: Mapped[str | None] = mapped_column(String(45))
    forwarded_for: Mapped[str | None] = mapped_column(String(300))
    body_hash: Mapped[str | None] = mapped_column(String(64))
