"""Every setting, from the environment (and `.env`): read once, refused with every fault named.

No secret has a default. `.env.example` says what each setting is for.
"""

import hmac
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

PUBLIC_SANDBOX_PASSKEY = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"
"""Printed in Safaricom's portal for shortcode 174379; everybody has it."""

PUBLIC_SANDBOX_INITIATOR_PASSWORD = "Safaricom999!*!"  # noqa: S105 - everybody has this one too
SIMULATOR_CERTIFICATE = Path(__file__).with_name("data") / "simulator_certificate.pem"

SHORTEST_SECRET = 32
LAST_PORT = 65535
_SHORTCODE = re.compile(r"[1-9][0-9]{4,6}")
_MSISDN = re.compile(r"254[17][0-9]{8}")
_C2B_SECRET = re.compile(r"[0-9a-f]{32,128}")
_RSA_KEY = bytes.fromhex("06092a864886f70d010101")  # what names the kind of key in a certificate
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


class ConfigError(Exception):
    """The environment is missing or malformed; ``faults`` names every one of them."""

    def __init__(self, faults: list[str]) -> None:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"Sokoni cannot start with these settings:\n{lines}")
        self.faults = faults


class MpesaEnv(StrEnum):
    SIMULATOR = "simulator"
    SANDBOX = "sandbox"
    PRODUCTION = "production"


class C2bVersion(StrEnum):
    """Which of Safaricom's two C2B products the app has."""

    V1 = "v1"
    V2 = "v2"


MPESA_BASE_URLS = {
    MpesaEnv.SANDBOX: "https://sandbox.safaricom.co.ke",
    MpesaEnv.PRODUCTION: "https://api.safaricom.co.ke",
}


@dataclass(frozen=True, slots=True)
class Config:
    """What the shop was told. Durations carry their unit; secrets stay out of the repr."""

    secret_key: str = field(repr=False)
    jwt_secret_key: str = field(repr=False)
    database_url: str = field(repr=False)
    shop_name: str
    shop_contact: str
    public_url: str
    host: str
    port: int
    trusted_hosts: tuple[str, ...]
    trusted_proxy_count: int
    web_workers: int
    web_threads: int
    web_queue: int
    web_queue_seconds: float
    web_memory_mb: int
    web_drain_seconds: float
    worker_threads: int
    metrics_token: str | None = field(repr=False)
    metrics_addresses: tuple[str, ...]
    allow_sqlite_with_workers: bool
    debug: bool
    log_level: str
    log_format: str
    failpoint: str

    access_token_seconds: int
    refresh_token_seconds: int
    password_hash_method: str

    rate_limits_enabled: bool
    rate_limit_storage_url: str = field(repr=False)
    login_failure_limit: str
    login_failure_account_limit: str
    login_failure_address_limit: str
    register_limit: str
    write_limit: str
    prompt_user_limit: str
    payment_claim_limit: str
    unsigned_callback_limit: str
    prompts_per_phone_10_minutes: int
    prompts_per_phone_day: int

    catalogue_cache_bytes: int

    redis_url: str | None = field(repr=False)
    queue_url: str = field(repr=False)
    sweep_seconds: float

    media_url: str = field(repr=False)
    max_picture_bytes: int
    pictures_per_day: int
    picture_decoders: int

    order_expiry_seconds: int
    max_open_orders: int

    mpesa_env: MpesaEnv
    mpesa_base_url: str
    mpesa_consumer_key: str = field(repr=False)
    mpesa_consumer_secret: str = field(repr=False)
    mpesa_shortcode: str
    mpesa_passkey: str = field(repr=False)
    mpesa_till: str | None
    mpesa_connect_timeout_seconds: float
    mpesa_read_timeout_seconds: float
    mpesa_outage_pause_seconds: float
    mpesa_max_amount_shillings: int
    mpesa_query_schedule_seconds: tuple[float, ...]
    mpesa_queries_per_second: float
    mpesa_unknown_after_seconds: float
    mpesa_no_answer_after_seconds: float
    mpesa_give_up_after_seconds: float

    mpesa_initiator_name: str | None
    mpesa_initiator_password: str | None = field(repr=False)
    mpesa_certificate: bytes | None = field(repr=False)
    mpesa_b2c_shortcode: str | None
    mpesa_c2b_version: C2bVersion
    mpesa_c2b_shortcode: str
    mpesa_c2b_secret: str = field(repr=False)
    mpesa_pull: bool
    mpesa_pull_number: str | None
    mpesa_pull_every_seconds: float
    mpesa_pull_settling_seconds: float

    refund_approval_above_shillings: int

    webhooks_allow_private: bool

    @property
    def is_production(self) -> bool:
        return self.mpesa_env is MpesaEnv.PRODUCTION

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def metrics_enabled(self) -> bool:
        """Whether anybody may read figures; otherwise none are gathered."""
        return self.metrics_token is not None or bool(self.metrics_addresses)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log line may show, whoever writes it."""
        return tuple(
            secret
            for secret in (
                self.secret_key,
                self.jwt_secret_key,
                self.mpesa_consumer_secret,
                self.mpesa_passkey,
                self.mpesa_initiator_password,
                self.mpesa_c2b_secret,
                self.metrics_token,
            )
            if secret
        )

    @property
    def shortcodes(self) -> frozenset[str]:
        """The numbers at which money reaches us: the paybill or store, the till, the menu's."""
        numbers = (self.mpesa_shortcode, self.mpesa_till, self.mpesa_c2b_shortcode)
        return frozenset(number for number in numbers if number)

    @property
    def customers_pay_to_till(self) -> bool:
        """Whether what customers type is a till, at which nobody is asked for an account number."""
        return self.mpesa_c2b_shortcode == self.mpesa_till

    @property
    def has_initiator(self) -> bool:
        """Whether Safaricom knows an operator in whose name we may ask for more than prompts."""
        return bool(
            self.mpesa_initiator_name and self.mpesa_initiator_password and self.mpesa_certificate
        )

    @property
    def can_reverse(self) -> bool:
        return self.has_initiator

    @property
    def can_pay_out(self) -> bool:
        return self.has_initiator and self.mpesa_b2c_shortcode is not None

    @property
    def can_ask_status(self) -> bool:
        """The same holds for balances."""
        return self.has_initiator

    @property
    def can_pull(self) -> bool:
        return self.mpesa_pull

    @classmethod
    def load(cls, env_file: str | Path = ".env") -> "Config":
        """From the process environment, over what `.env` holds. Raises ConfigError."""
        # interpolate=False: a generated secret may well hold "${"
        filed = dotenv_values(env_file, interpolate=False)
        return cls.from_environment({**{k: v or "" for k, v in filed.items()}, **os.environ})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Raises ConfigError, which lists everything that is missing, malformed or unsafe."""
        reader = _Reader(environment)
        config = _read(reader)
        # What could not be read at all is not also called unsafe: it stands there as a default.
        unread = {fault.split()[0] for fault in reader.faults}
        faults = reader.faults + [
            fault for fault in _faults_of(config) if fault.split()[0] not in unread
        ]
        if faults:
            raise ConfigError(faults)
        return config


_Choice = TypeVar("_Choice", bound=StrEnum)


class _Reader:
    """Reads one variable at a time and collects what is wrong instead of stopping at the first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environment.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.faults.append(f"{name} is missing.")
            return ""
        return default

    def whole(self, name: str, default: int, *, minimum: int = 0) -> int:
        value = self.number(name, default, minimum=minimum)
        if value != int(value):
            self.faults.append(f"{name} must be a whole number.")
        return int(value)

    def port(self, name: str, default: int) -> int:
        value = self.whole(name, default, minimum=1)
        if value > LAST_PORT:
            self.faults.append(f"{name} must be at most {LAST_PORT}.")
            return default
        return value

    def number(self, name: str, default: float, *, minimum: float = 0) -> float:
        raw = self.text(name, str(default))
        try:
            value = float(raw)
        except ValueError:
            self.faults.append(f"{name} must be a number, not {raw!r}.")
            return default
        if not minimum <= value < float("inf"):
            self.faults.append(f"{name} must be at least {minimum:g}.")
            return default
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        raw = self.text(name, str(default)).lower()
        if raw not in _TRUE | _FALSE:
            self.faults.append(f"{name} must be true or false, not {raw!r}.")
        return raw in _TRUE

    def choice(self, name: str, kind: type[_Choice], default: _Choice) -> _Choice:
        raw = self.text(name, default.value)
        try:
            return kind(raw)
        except ValueError:
            known = ", ".join(member.value for member in kind)
            self.faults.append(f"{name} must be one of {known}, not {raw!r}.")
            return default

    def numbers(self, name: str, default: str) -> tuple[float, ...]:
        raw = self.text(name, default)
        try:
            values = tuple(float(part) for part in raw.split(","))
        except ValueError:
            self.faults.append(f"{name} must be numbers with commas between them.")
            return (30.0,)
        if not all(0 < value < float("inf") for value in values):
            self.faults.append(f"{name} must hold numbers above zero.")
            return (30.0,)
        return values

    def certificate(self, name: str, default: Path | None) -> bytes | None:
        """The content of a PEM file; its dates are not looked at, see SecurityCredential."""
        path = self.text(name, str(default or ""))
        if not path:
            return None
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            self.faults.append(f"{name} names {path}, which cannot be read ({error.strerror}).")
            return None
        if not _is_rsa_certificate(content):
            self.faults.append(f"{name} names {path}, which is no certificate of an RSA key (PEM).")
            return None
        return content

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name, "").split(",") if part.strip())


def _read(read: _Reader) -> Config:
    port = read.port("PORT", 5000)
    simulator_port = read.port("SIMULATOR_PORT", 5001)
    public_url = read.text("PUBLIC_URL", f"http://127.0.0.1:{port}").rstrip("/")
    mpesa_env = read.choice("MPESA_ENV", MpesaEnv, MpesaEnv.SIMULATOR)
    simulated = mpesa_env is MpesaEnv.SIMULATOR
    secret_key = read.text("SECRET_KEY")
    redis_url = read.text("REDIS_URL", "")
    shortcode = read.text("MPESA_SHORTCODE", "174379" if simulated else None)
    till = read.text("MPESA_TILL", "") or None
    return Config(
        secret_key=secret_key,
        jwt_secret_key=read.text("JWT_SECRET_KEY"),
        database_url=_psycopg(read.text("DATABASE_URL", "sqlite:///instance/sokoni.db")),
        shop_name=read.text("SHOP_NAME", "Sokoni"),
        shop_contact=read.text("SHOP_CONTACT", ""),
        public_url=public_url,
        host=read.text("HOST", "127.0.0.1"),
        port=port,
        trusted_hosts=read.words("TRUSTED_HOSTS"),
        trusted_proxy_count=read.whole("TRUSTED_PROXY_COUNT", 0),
        web_workers=read.whole("WEB_WORKERS", 1, minimum=1),
        web_threads=read.whole("WEB_THREADS", 4, minimum=1),
        web_queue=read.whole("WEB_QUEUE", 32),
        web_queue_seconds=read.number("WEB_QUEUE_SECONDS", 0.2, minimum=0.001),
        web_memory_mb=read.whole("WEB_MEMORY_MB", 512),
        web_drain_seconds=read.number("WEB_DRAIN_SECONDS", 0),
        worker_threads=read.whole("WORKER_THREADS", 4, minimum=1),
        metrics_token=read.text("METRICS_TOKEN", "") or None,
        metrics_addresses=read.words("METRICS_ADDRESSES"),
        allow_sqlite_with_workers=read.flag("ALLOW_SQLITE_WITH_WORKERS", default=False),
        debug=read.flag("FLASK_DEBUG", default=False),
        log_level=read.text("LOG_LEVEL", "INFO").upper(),
        log_format=read.text("LOG_FORMAT", "json"),
        failpoint=read.text("SOKONI_FAILPOINT", ""),
        access_token_seconds=read.whole("ACCESS_TOKEN_SECONDS", 900, minimum=1),
        refresh_token_seconds=read.whole("REFRESH_TOKEN_SECONDS", 30 * 86400, minimum=1),
        password_hash_method=read.text("PASSWORD_HASH_METHOD", "scrypt:32768:8:1"),
        rate_limits_enabled=read.flag("RATE_LIMITS_ENABLED", default=True),
        rate_limit_storage_url=read.text("RATE_LIMIT_STORAGE_URL", redis_url or "database://"),
        login_failure_limit=read.text("LOGIN_FAILURE_LIMIT", "5 per minute"),
        login_failure_account_limit=read.text("LOGIN_FAILURE_ACCOUNT_LIMIT", "30 per 15 minutes"),
        login_failure_address_limit=read.text("LOGIN_FAILURE_ADDRESS_LIMIT", "60 per 15 minutes"),
        register_limit=read.text("REGISTER_LIMIT", "120 per minute; 2000 per hour"),
        write_limit=read.text("WRITE_LIMIT", "600 per minute"),
        prompt_user_limit=read.text("PROMPT_USER_LIMIT", "30 per 10 minutes; 200 per day"),
        payment_claim_limit=read.text("PAYMENT_CLAIM_LIMIT", "3 per 10 minutes; 6 per day"),
        unsigned_callback_limit=read.text("UNSIGNED_CALLBACK_LIMIT", "300 per minute"),
        prompts_per_phone_10_minutes=read.whole("PROMPTS_PER_PHONE_10_MINUTES", 3, minimum=1),
        prompts_per_phone_day=read.whole("PROMPTS_PER_PHONE_DAY", 10, minimum=1),
        catalogue_cache_bytes=read.whole("CATALOGUE_CACHE_BYTES", 16 * 1024 * 1024),
        redis_url=redis_url or None,
        queue_url=read.text("QUEUE_URL", redis_url or "sqlite:///instance/queue.db"),
        sweep_seconds=read.number("SWEEP_SECONDS", 15, minimum=0.05),
        media_url=read.text("MEDIA_URL", "instance/media"),
        max_picture_bytes=read.whole("MAX_PICTURE_BYTES", 6 * 1024 * 1024, minimum=1024),
        pictures_per_day=read.whole("PICTURES_PER_DAY", 200, minimum=1),
        picture_decoders=read.whole("PICTURE_DECODERS", 2, minimum=1),
        order_expiry_seconds=read.whole("ORDER_EXPIRY_SECONDS", 900, minimum=1),
        max_open_orders=read.whole("MAX_OPEN_ORDERS", 50, minimum=1),
        mpesa_env=mpesa_env,
        mpesa_base_url=read.text(
            "MPESA_BASE_URL",
            MPESA_BASE_URLS.get(mpesa_env, f"http://127.0.0.1:{simulator_port}"),
        ).rstrip("/"),
        mpesa_consumer_key=read.text("MPESA_CONSUMER_KEY", "simulator" if simulated else None),
        mpesa_consumer_secret=read.text(
            "MPESA_CONSUMER_SECRET", "simulator" if simulated else None
        ),
        mpesa_shortcode=shortcode,
        mpesa_passkey=read.text("MPESA_PASSKEY", PUBLIC_SANDBOX_PASSKEY if simulated else None),
        mpesa_till=till,
        mpesa_connect_timeout_seconds=read.number("MPESA_CONNECT_TIMEOUT_SECONDS", 3, minimum=0.05),
        mpesa_read_timeout_seconds=read.number("MPESA_READ_TIMEOUT_SECONDS", 10, minimum=0.05),
        mpesa_outage_pause_seconds=read.number("MPESA_OUTAGE_PAUSE_SECONDS", 30, minimum=0.05),
        mpesa_max_amount_shillings=read.whole("MPESA_MAX_AMOUNT_SHILLINGS", 250_000, minimum=1),
        mpesa_query_schedule_seconds=read.numbers(
            "MPESA_QUERY_SCHEDULE_SECONDS", "30,45,60,90,120,180,300,900"
        ),
        mpesa_queries_per_second=read.number("MPESA_QUERIES_PER_SECOND", 2, minimum=0.01),
        mpesa_unknown_after_seconds=read.number("MPESA_UNKNOWN_AFTER_SECONDS", 180, minimum=0.1),
        mpesa_no_answer_after_seconds=read.number(
            "MPESA_NO_ANSWER_AFTER_SECONDS", 900, minimum=0.1
        ),
        mpesa_give_up_after_seconds=read.number("MPESA_GIVE_UP_AFTER_SECONDS", 86400, minimum=0.1),
        mpesa_initiator_name=read.text("MPESA_INITIATOR_NAME", "testapi" if simulated else "")
        or None,
        mpesa_initiator_password=read.text(
            "MPESA_INITIATOR_PASSWORD", PUBLIC_SANDBOX_INITIATOR_PASSWORD if simulated else ""
        )
        or None,
        mpesa_certificate=read.certificate(
            "MPESA_CERTIFICATE", SIMULATOR_CERTIFICATE if simulated else None
        ),
        mpesa_b2c_shortcode=read.text("MPESA_B2C_SHORTCODE", "600000" if simulated else "") or None,
        mpesa_c2b_version=read.choice("MPESA_C2B_VERSION", C2bVersion, C2bVersion.V2),
        mpesa_c2b_shortcode=read.text("MPESA_C2B_SHORTCODE", till or shortcode),
        mpesa_c2b_secret=read.text("MPESA_C2B_SECRET", _derive_c2b_secret(secret_key)),
        mpesa_pull=read.flag("MPESA_PULL", default=simulated),
        mpesa_pull_number=read.text("MPESA_PULL_NUMBER", "254708374149" if simulated else "")
        or None,
        mpesa_pull_every_seconds=read.number("MPESA_PULL_EVERY_SECONDS", 3600, minimum=1),
        mpesa_pull_settling_seconds=read.number("MPESA_PULL_SETTLING_SECONDS", 300, minimum=0.1),
        refund_approval_above_shillings=read.whole("REFUND_APPROVAL_ABOVE_SHILLINGS", 10_000),
        webhooks_allow_private=read.flag("WEBHOOKS_ALLOW_PRIVATE", default=False),
    )


def _derive_c2b_secret(secret_key: str) -> str:
    """Hexadecimal, for Safaricom refuses addresses that hold words like cmd, exe or sql."""
    return hmac.digest(secret_key.encode(), b"mpesa c2b addresses", "sha256").hex()


def _psycopg(url: str) -> str:
    """``postgres://`` and ``postgresql://`` both mean the driver that we ship."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _faults_of(config: Config) -> list[str]:
    faults = _malformed(config) + _malformed_mpesa(config) + _weak_secrets(config)
    if config.is_production:
        faults += _unsafe_in_production(config)
    return faults


def _malformed(config: Config) -> list[str]:
    faults = []
    for name, url in (
        ("PUBLIC_URL", config.public_url),
        ("MPESA_BASE_URL", config.mpesa_base_url),
    ):
        if not _is_web_address(url):
            faults.append(f"{name} must be an address with https:// (or http:// on a laptop).")
    faults += _malformed_metrics(config)
    if config.log_level not in _LOG_LEVELS:
        faults.append(f"LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}.")
    if not config.database_url.startswith(("sqlite:///", "postgresql+psycopg://")):
        faults.append("DATABASE_URL must start with sqlite:/// or postgresql://.")
    if not _is_media_url(config.media_url):
        faults.append("MEDIA_URL must be a folder, file:///folder or s3://bucket/prefix.")
    if config.redis_url and not config.redis_url.startswith(("redis://", "rediss://", "unix://")):
        faults.append("REDIS_URL must start with redis://, rediss:// or unix://.")
    if config.log_format not in {"json", "console"}:
        faults.append("LOG_FORMAT must be json or console.")
    if config.mpesa_env is not MpesaEnv.SIMULATOR and not config.is_https:
        faults.append(
            "PUBLIC_URL must be an https:// address that Safaricom can reach:"
            f" {config.public_url} is not."
        )
    if config.webhooks_allow_private and config.mpesa_env is not MpesaEnv.SIMULATOR:
        faults.append(
            "WEBHOOKS_ALLOW_PRIVATE must be off: it lets webhooks reach this machine and its"
            " network."
        )
    return faults


def _malformed_metrics(config: Config) -> list[str]:
    faults = [
        f"METRICS_ADDRESSES must be addresses or networks like 10.0.0.0/8, not {network!r}."
        for network in config.metrics_addresses
        if not _is_network(network)
    ]
    if config.metrics_token is not None and len(config.metrics_token) < SHORTEST_SECRET:
        faults.append(f"METRICS_TOKEN must hold at least {SHORTEST_SECRET} random characters.")
    return faults


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _malformed_mpesa(config: Config) -> list[str]:
    followed = config.mpesa_till or config.mpesa_shortcode  # its fault is not another's as well
    faults = [
        f"{name} must be 5 to 7 digits, the first no zero."
        for name, number in (
            ("MPESA_SHORTCODE", config.mpesa_shortcode),
            ("MPESA_TILL", config.mpesa_till),
            ("MPESA_B2C_SHORTCODE", config.mpesa_b2c_shortcode),
            ("MPESA_C2B_SHORTCODE", config.mpesa_c2b_shortcode),
        )
        if number is not None
        and not _SHORTCODE.fullmatch(number)
        and not (name == "MPESA_C2B_SHORTCODE" and number == followed)
    ]
    if config.mpesa_pull_number and not _MSISDN.fullmatch(config.mpesa_pull_number):
        faults.append("MPESA_PULL_NUMBER must be a phone number like 254712345678.")
    return faults + _half_an_initiator(config)


def _half_an_initiator(config: Config) -> list[str]:
    """Name, password and certificate are of use together or not at all."""
    parts = {
        "MPESA_INITIATOR_NAME": config.mpesa_initiator_name,
        "MPESA_INITIATOR_PASSWORD": config.mpesa_initiator_password,
        "MPESA_CERTIFICATE": config.mpesa_certificate,
    }
    if not any(parts.values()) and config.mpesa_b2c_shortcode is None:
        return []
    return [
        f"{name} is missing: reversals, payouts and questions need {', '.join(parts)}."
        for name, value in parts.items()
        if not value
    ]


def _weak_secrets(config: Config) -> list[str]:
    faults = [
        f"{name} must hold at least {SHORTEST_SECRET} random characters;"
        " make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        for name, value in (
            ("SECRET_KEY", config.secret_key),
            ("JWT_SECRET_KEY", config.jwt_secret_key),
        )
        if len(value) < SHORTEST_SECRET or len(set(value)) < SHORTEST_SECRET // 4
    ]
    if config.secret_key == config.jwt_secret_key:
        faults.append("SECRET_KEY and JWT_SECRET_KEY must differ.")
    if not _C2B_SECRET.fullmatch(config.mpesa_c2b_secret) or len(set(config.mpesa_c2b_secret)) < 8:  # noqa: PLR2004 - of sixteen
        faults.append(
            "MPESA_C2B_SECRET must be at least 32 random digits of 0-9 and a-f;"
            " make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return faults


def _unsafe_in_production(config: Config) -> list[str]:
    refusals = {
        "MPESA_BASE_URL points at the simulator or another address on this machine;"
        " production is https://api.safaricom.co.ke.": _is_local(config.mpesa_base_url)
        or not config.mpesa_base_url.startswith("https://"),
        "MPESA_BASE_URL is Safaricom's sandbox.": "sandbox" in config.mpesa_base_url,
        "MPESA_PASSKEY is the public sandbox passkey: take your own from the portal.": (
            config.mpesa_passkey == PUBLIC_SANDBOX_PASSKEY
        ),
        "MPESA_INITIATOR_PASSWORD is the public one of the sandbox: give your initiator another.": (
            config.mpesa_initiator_password == PUBLIC_SANDBOX_INITIATOR_PASSWORD
        ),
        "MPESA_CERTIFICATE is the simulator's: take Safaricom's production certificate from the"
        " portal.": _is_simulators(config.mpesa_certificate),
        "PUBLIC_URL names this machine; Safaricom must be able to reach it.": _is_local(
            config.public_url
        ),
        "FLASK_DEBUG must be off.": config.debug,
        "SOKONI_FAILPOINT must be empty: it kills the process on purpose.": bool(config.failpoint),
        "DATABASE_URL is SQLite while WEB_WORKERS is above 1: use PostgreSQL, or say"
        " ALLOW_SQLITE_WITH_WORKERS=true.": config.uses_sqlite
        and config.web_workers > 1
        and not config.allow_sqlite_with_workers,
        "RATE_LIMIT_STORAGE_URL=memory:// counts in each process alone: use database:// or"
        " redis://.": config.rate_limit_storage_url.startswith("memory"),
        "MEDIA_URL=memory:// forgets every picture: use a folder or s3://.": (
            config.media_url.startswith("memory:")
        ),
        "RATE_LIMITS_ENABLED must be on.": not config.rate_limits_enabled,
        "PASSWORD_HASH_METHOD must be scrypt with N of 32768 or more.": not _is_strong_hash(
            config.password_hash_method
        ),
    }
    return [sentence for sentence, broken in refusals.items() if broken]


def _is_strong_hash(method: str) -> bool:
    name, _, rest = method.partition(":")
    cost = rest.partition(":")[0]
    return name == "scrypt" and cost.isdecimal() and int(cost) >= 32768  # noqa: PLR2004 - werkzeug's default


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_rsa_certificate(content: bytes) -> bool:
    try:
        pem = content.decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        return _RSA_KEY in ssl.PEM_cert_to_DER_cert(pem)
    except (ssl.SSLError, ValueError):  # a letter beyond ASCII among them
        return False


def _is_simulators(certificate: bytes | None) -> bool:
    return certificate is not None and certificate == SIMULATOR_CERTIFICATE.read_bytes()


def _is_media_url(url: str) -> bool:
    if "://" not in url:
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    has_host = bool(parts.hostname)
    match parts.scheme:
        case "s3":
            return has_host
        case "file":
            return not has_host and len(parts.path) > 1
    return parts.scheme == "memory"


def _is_local(url: str) -> bool:
    if not _is_web_address(url):
        return False
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global
