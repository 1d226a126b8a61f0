from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Code, Id, Moment, When, refers_to, table


class User(Base):
    """A person who can sign in.

    ``username_key`` and ``email_key`` are the canonical spellings that uniqueness goes by; they
    are made in Python, because SQLite folds the case of ASCII letters alone.
    """

    __tablename__ = "users"
    __table_args__ = table(
        CheckConstraint("role IN ('customer', 'seller', 'admin')", name="role_known"),
        CheckConstraint("length(phone_number) = 12", name="phone_number_length"),
    )

    id: Mapped[Id]
    username: Mapped[str] = mapped_column(String(40))
    username_key: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    phone_number: Mapped[str | None] = mapped_column(String(12), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(10), default="customer")
    picture_url: Mapped[str | None] = mapped_column(Text)
    suspended_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[When]
    updated_at: Mapped[When]


class LoginSession(Base):
    """One sign-in on one device: the family that its rotating refresh tokens belong to.

    ``refresh_jti`` is the only refresh token that is good now. An older one shows that somebody
    else holds a copy, and ends the session. Access tokens name the session and die with it.
    """

    __tablename__ = "login_sessions"
    __table_args__ = (Index("ix_login_sessions_user_id_revoked_at", "user_id", "revoked_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = refers_to("users.id")
    refresh_jti: Mapped[Code]
    remote_addr: Mapped[str | None] = mapped_column(String(45))
    created_at: Mapped[When]
    expires_at: Mapped[When]
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_reason: Mapped[str | None] = mapped_column(String(40))
