"""Settings: read once, and every fault named in one refusal."""

import os
import subprocess
import sys

import pytest

from app.config import PUBLIC_SANDBOX_PASSKEY, Config, ConfigError, MpesaEnv

SECRETS = {
    "SECRET_KEY": "k3Jd8sPq0ZxN7vRt2LmW5yBc9HfG4aEu",
    "JWT_SECRET_KEY": "Qw7Er2Ty9Ui4Op1As6Df3Gh8Jk5Lz0Xc",
}
PRODUCTION = {
    **SECRETS,
    "MPESA_ENV": "production",
    "PUBLIC_URL": "https://shop.example.co.ke",
    "DATABASE_URL": "postgresql://sokoni@db.internal/sokoni",
    "MPESA_CONSUMER_KEY": "key",
    "MPESA_CONSUMER_SECRET": "secret",
    "MPESA_SHORTCODE": "600123",
    "MPESA_PASSKEY": "a-passkey-of-our-own",
}


def faults(environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.from_environment(environment)
    assert all(f"  - {fault}" in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def test_two_secrets_are_enough_for_a_laptop():
    config = Config.from_environment(SECRETS)

    assert (config.mpesa_env, config.mpesa_shortcode) == (MpesaEnv.SIMULATOR, "174379")
    assert config.mpesa_base_url == "http://127.0.0.1:5001"
    assert config.public_url == "http://127.0.0.1:5000"
    assert config.mpesa_query_schedule_seconds == (30, 45, 60, 90, 120, 180, 300, 900)
    assert (config.order_expiry_seconds, config.max_open_orders) == (900, 50)
    assert (config.is_production, config.is_https, config.uses_sqlite) == (False, False, True)


def test_no_secret_has_a_default():
    assert faults({}) == ["SECRET_KEY is missing.", "JWT_SECRET_KEY is missing."]


def test_secrets_stay_out_of_what_is_printed():
    shown = repr(Config.from_environment({**PRODUCTION, "DATABASE_URL": "postgresql://u:pw@h/d"}))

    assert not [secret for secret in (*SECRETS.values(), "a-passkey", "pw@") if secret in shown]


def test_media_lie_in_a_folder_or_a_bucket():
    assert Config.from_environment(SECRETS).media_url == "instance/media"
    for url in ("/srv/media", "file:///srv/media", "s3://shop/media?region=af-south-1"):
        assert Config.from_environment({**SECRETS, "MEDIA_URL": url}).media_url == url
    for url in ("file://server/share", "file:///", "s3://", "https://cdn.example", "://"):
        assert faults({**SECRETS, "MEDIA_URL": url}) == [MALFORMED["MEDIA_URL"][1]]
    assert faults({**PRODUCTION, "MEDIA_URL": "memory://"}) == [
        "MEDIA_URL=memory:// forgets every picture: use a folder or s3://."
    ]


@pytest.mark.parametrize("name", list(SECRETS))
@pytest.mark.parametrize(
    "weak", ["short", "x" * 31, "a" * 64, "abcabcabcabcabcabcabcabcabcabcabcabc"]
)
def test_attack_99_a_weak_secret_is_refused(name, weak):
    (fault,) = faults({**SECRETS, name: weak})
    assert fault.startswith(f"{name} must hold at least 32 random characters")


def test_attack_99_equal_secrets_are_refused():
    same = SECRETS["SECRET_KEY"]
    assert faults({"SECRET_KEY": same, "JWT_SECRET_KEY": same}) == [
        "SECRET_KEY and JWT_SECRET_KEY must differ."
    ]


MALFORMED = {
    "MEDIA_URL": (
        "ftp://shop.example/media",
        "MEDIA_URL must be a folder, file:///folder or s3://bucket/prefix.",
    ),
    "PICTURES_PER_DAY": ("0", "PICTURES_PER_DAY must be at least 1."),
    "PORT": ("eighty", "PORT must be a number, not 'eighty'."),
    "WEB_THREADS": ("1.5", "WEB_THREADS must be a whole number."),
    "WEB_WORKERS": ("0", "WEB_WORKERS must be at least 1."),
    "MAX_OPEN_ORDERS": ("-3", "MAX_OPEN_ORDERS must be at least 1."),
    "SWEEP_SECONDS": ("nan", "SWEEP_SECONDS must be at least 0.05."),
    "ORDER_EXPIRY_SECONDS": ("inf", "ORDER_EXPIRY_SECONDS must be at least 1."),
    "FLASK_DEBUG": ("maybe", "FLASK_DEBUG must be true or false, not 'maybe'."),
    "MPESA_ENV": ("live", "MPESA_ENV must be one of simulator, sandbox, production, not 'live'."),
    "MPESA_QUERY_SCHEDULE_SECONDS": (
        "30,,60",
        "MPESA_QUERY_SCHEDULE_SECONDS must be numbers with commas between them.",
    ),
    "LOG_LEVEL": ("LOUD", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    "LOG_FORMAT": ("xml", "LOG_FORMAT must be json or console."),
    "MPESA_SHORTCODE": ("12345678", None),
    "PUBLIC_URL": (
        "shop.example",
        "PUBLIC_URL must be an address with https:// (or http:// on a laptop).",
    ),
    "MPESA_BASE_URL": (
        "https://[",
        "MPESA_BASE_URL must be an address with https:// (or http:// on a laptop).",
    ),
    "DATABASE_URL": (
        "mysql://x/y",
        "DATABASE_URL must start with sqlite:/// or postgresql://.",
    ),
}


def test_every_malformed_setting_is_named_in_one_refusal():
    found = faults({**SECRETS, **{name: value for name, (value, _) in MALFORMED.items()}})

    assert sorted(fault.split()[0] for fault in found) == sorted(MALFORMED)
    for name, (_, sentence) in MALFORMED.items():
        if sentence is not None:
            assert sentence in found, name


@pytest.mark.parametrize("url", ["https://", "https://[::1", "ftp://x.example", "https://x:99999"])
def test_an_address_that_no_browser_could_open_is_refused(url):
    assert [fault.split()[0] for fault in faults({**SECRETS, "PUBLIC_URL": url})] == ["PUBLIC_URL"]


@pytest.mark.parametrize("value", ["0", "-30", "30,inf", "nan"])
def test_a_schedule_holds_moments_ahead(value):
    assert faults({**SECRETS, "MPESA_QUERY_SCHEDULE_SECONDS": value}) == [
        "MPESA_QUERY_SCHEDULE_SECONDS must hold numbers above zero."
    ]


def test_production_with_all_it_needs_starts():
    config = Config.from_environment(PRODUCTION)

    assert config.mpesa_base_url == "https://api.safaricom.co.ke"
    assert config.database_url == "postgresql+psycopg://sokoni@db.internal/sokoni"
    assert (config.is_production, config.is_https, config.uses_sqlite) == (True, True, False)


def test_production_has_no_defaults_for_what_safaricom_gives():
    bare = {name: PRODUCTION[name] for name in (*SECRETS, "MPESA_ENV", "PUBLIC_URL")}
    assert faults(bare) == [
        "MPESA_CONSUMER_KEY is missing.",
        "MPESA_CONSUMER_SECRET is missing.",
        "MPESA_SHORTCODE is missing.",
        "MPESA_PASSKEY is missing.",
    ]


UNSAFE = {
    "an http address": (
        {"PUBLIC_URL": "http://shop.example.co.ke"},
        (
            "PUBLIC_URL must be an https:// address that Safaricom can reach:"
            " http://shop.example.co.ke is not."
        ),
    ),
    "a private address": (
        {"PUBLIC_URL": "https://192.168.1.4"},
        "PUBLIC_URL names this machine; Safaricom must be able to reach it.",
    ),
    "localhost": (
        {"PUBLIC_URL": "https://localhost"},
        "PUBLIC_URL names this machine; Safaricom must be able to reach it.",
    ),
    "the simulator": (
        {"MPESA_BASE_URL": "http://127.0.0.1:5001"},
        (
            "MPESA_BASE_URL points at the simulator or another address on this machine;"
            " production is https://api.safaricom.co.ke."
        ),
    ),
    "the sandbox": (
        {"MPESA_BASE_URL": "https://sandbox.safaricom.co.ke"},
        "MPESA_BASE_URL is Safaricom's sandbox.",
    ),
    "the public passkey": (
        {"MPESA_PASSKEY": PUBLIC_SANDBOX_PASSKEY},
        "MPESA_PASSKEY is the public sandbox passkey: take your own from the portal.",
    ),
    "debug": ({"FLASK_DEBUG": "1"}, "FLASK_DEBUG must be off."),
    "a failpoint": (
        {"SOKONI_FAILPOINT": "before_push"},
        "SOKONI_FAILPOINT must be empty: it kills the process on purpose.",
    ),
    "sqlite behind many": (
        {"DATABASE_URL": "sqlite:///x.db", "WEB_WORKERS": "2"},
        (
            "DATABASE_URL is SQLite while WEB_WORKERS is above 1: use PostgreSQL, or say"
            " ALLOW_SQLITE_WITH_WORKERS=true."
        ),
    ),
    "counters of one process": (
        {"RATE_LIMIT_STORAGE_URL": "memory://"},
        (
            "RATE_LIMIT_STORAGE_URL=memory:// counts in each process alone: use database:// or"
            " redis://."
        ),
    ),
    "no limits": ({"RATE_LIMITS_ENABLED": "false"}, "RATE_LIMITS_ENABLED must be on."),
    "a cheap hash": (
        {"PASSWORD_HASH_METHOD": "scrypt:128:8:1"},
        "PASSWORD_HASH_METHOD must be scrypt with N of 32768 or more.",
    ),
    "another hash": (
        {"PASSWORD_HASH_METHOD": "pbkdf2:sha256"},
        "PASSWORD_HASH_METHOD must be scrypt with N of 32768 or more.",
    ),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_attack_99_production_refuses_what_is_unsafe(case):
    change, sentence = UNSAFE[case]
    assert faults({**PRODUCTION, **change}) == [sentence]


def test_all_that_is_missing_malformed_weak_or_unsafe_stands_in_one_refusal():
    broken = {
        **PRODUCTION,
        "JWT_SECRET_KEY": "weak",
        "PORT": "eighty",
        "FLASK_DEBUG": "on",
        "SOKONI_FAILPOINT": "x",
        "RATE_LIMITS_ENABLED": "no",
    }
    del broken["MPESA_PASSKEY"]

    assert [fault.split()[0] for fault in faults(broken)] == [
        "PORT",
        "MPESA_PASSKEY",
        "JWT_SECRET_KEY",
        "FLASK_DEBUG",
        "SOKONI_FAILPOINT",
        "RATE_LIMITS_ENABLED",
    ]


@pytest.mark.parametrize("case", ["a failpoint", "debug", "a cheap hash", "no limits"])
def test_a_laptop_may_do_what_production_may_not(case):
    change, _ = UNSAFE[case]
    assert Config.from_environment({**SECRETS, **change}).is_production is False


def test_sqlite_behind_many_workers_can_be_asked_for():
    change, _ = UNSAFE["sqlite behind many"]
    allowed = {**PRODUCTION, **change, "ALLOW_SQLITE_WITH_WORKERS": "true"}
    assert Config.from_environment(allowed).web_workers == 2


def test_the_environment_stands_over_the_file_and_a_dollar_stays_a_dollar(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text(
        "SECRET_KEY='${HOME}-8sPq0ZxN7vRt2LmW5yBc9HfG4aEu'\n"
        f"JWT_SECRET_KEY={SECRETS['JWT_SECRET_KEY']}\nPORT=8000\nHOST=0.0.0.0\nMPESA_TILL\n"
    )
    for name in (*SECRETS, "HOST", "MPESA_TILL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "9000")

    config = Config.load(file)
    assert (config.port, config.host, config.mpesa_till) == (9000, "0.0.0.0", None)
    assert config.secret_key == "${HOME}-8sPq0ZxN7vRt2LmW5yBc9HfG4aEu"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_spelling_of_postgresql_means_our_driver(scheme):
    config = Config.from_environment({**SECRETS, "DATABASE_URL": f"{scheme}://u@h/d"})
    assert config.database_url == "postgresql+psycopg://u@h/d"


def test_an_armed_failpoint_kills_and_another_does_not():
    code = (
        "from app.utils.failpoints import failpoint\n"
        "failpoint('elsewhere'); print('alive', flush=True); failpoint('here'); print('no')"
    )
    environment = {**os.environ, "SOKONI_FAILPOINT": "here"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (-9, b"alive\n")
