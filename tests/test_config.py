"""Settings: read once, and every fault named in one refusal."""

import os
import subprocess
import sys

import pytest

from app.config import (
    PUBLIC_SANDBOX_INITIATOR_PASSWORD,
    PUBLIC_SANDBOX_PASSKEY,
    SIMULATOR_CERTIFICATE,
    C2bVersion,
    Config,
    ConfigError,
    MpesaEnv,
)

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


INITIATOR = {
    "MPESA_INITIATOR_NAME": "sokoni",
    "MPESA_INITIATOR_PASSWORD": "a-password-of-our-own",
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
    "MPESA_TILL": ("12-345", "MPESA_TILL must be 5 to 7 digits, the first no zero."),
    "MPESA_B2C_SHORTCODE": (
        "012345",
        "MPESA_B2C_SHORTCODE must be 5 to 7 digits, the first no zero.",
    ),
    "MPESA_C2B_SHORTCODE": ("\u0661\u0662\u0663\u0664\u0665", None),
    "MPESA_C2B_VERSION": ("v3", "MPESA_C2B_VERSION must be one of v1, v2, not 'v3'."),
    "MPESA_C2B_SECRET": (
        "d41d8cd98f00b204e9800998ecf8427",
        (
            "MPESA_C2B_SECRET must be at least 32 random digits of 0-9 and a-f;"
            " make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        ),
    ),
    "MPESA_CERTIFICATE": (
        "/nowhere/at.all",
        (
            "MPESA_CERTIFICATE names /nowhere/at.all, which cannot be read"
            " (No such file or directory)."
        ),
    ),
    "MPESA_PULL": ("perhaps", "MPESA_PULL must be true or false, not 'perhaps'."),
    "MPESA_PULL_NUMBER": (
        "0712345678",
        "MPESA_PULL_NUMBER must be a phone number like 254712345678.",
    ),
    "MPESA_PULL_EVERY_SECONDS": ("0", "MPESA_PULL_EVERY_SECONDS must be at least 1."),
    "MPESA_PULL_SETTLING_SECONDS": ("-5", "MPESA_PULL_SETTLING_SECONDS must be at least 0.1."),
    "REFUND_APPROVAL_ABOVE_SHILLINGS": (
        "-1",
        "REFUND_APPROVAL_ABOVE_SHILLINGS must be at least 0.",
    ),
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
        "MPESA_SHORTCODE is missing.",
        "MPESA_CONSUMER_KEY is missing.",
        "MPESA_CONSUMER_SECRET is missing.",
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
    "webhooks into its own network": (
        {"WEBHOOKS_ALLOW_PRIVATE": "true"},
        (
            "WEBHOOKS_ALLOW_PRIVATE must be off: it lets webhooks reach this machine and its"
            " network."
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


@pytest.mark.parametrize(
    "case",
    ["a failpoint", "debug", "a cheap hash", "no limits", "webhooks into its own network"],
)
def test_a_laptop_may_do_what_production_may_not(case):
    change, _ = UNSAFE[case]
    assert Config.from_environment({**SECRETS, **change}).is_production is False


def test_attack_67_webhooks_stay_out_of_this_network_unless_a_laptop_says_so():
    assert Config.from_environment(SECRETS).webhooks_allow_private is False
    sandbox = {**PRODUCTION, "MPESA_ENV": "sandbox", "WEBHOOKS_ALLOW_PRIVATE": "true"}
    assert [fault.split()[0] for fault in faults(sandbox)] == ["WEBHOOKS_ALLOW_PRIVATE"]


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


def test_the_simulator_can_do_everything_and_production_what_it_was_given():
    laptop = Config.from_environment(SECRETS)
    assert (laptop.mpesa_initiator_name, laptop.mpesa_b2c_shortcode) == ("testapi", "600000")
    assert laptop.mpesa_initiator_password == PUBLIC_SANDBOX_INITIATOR_PASSWORD
    assert laptop.mpesa_certificate == SIMULATOR_CERTIFICATE.read_bytes()
    assert abilities(laptop) == (True, True, True, True)
    assert laptop.refund_approval_above_shillings == 10_000

    bare = Config.from_environment(PRODUCTION)
    assert (bare.mpesa_initiator_name, bare.mpesa_certificate) == (None, None)
    assert (bare.mpesa_b2c_shortcode, bare.mpesa_pull_number) == (None, None)
    assert abilities(bare) == (False, False, False, False)


def abilities(config):
    return config.can_reverse, config.can_pay_out, config.can_ask_status, config.can_pull


def test_an_initiator_may_reverse_and_ask_and_with_a_shortcode_for_it_pay_out(certificate):
    named = {**PRODUCTION, **INITIATOR, "MPESA_CERTIFICATE": str(certificate())}
    assert abilities(Config.from_environment(named)) == (True, False, True, False)
    paying = {**named, "MPESA_B2C_SHORTCODE": "3012345", "MPESA_PULL": "yes"}
    assert abilities(Config.from_environment(paying)) == (True, True, True, True)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["MPESA_INITIATOR_NAME"], ["MPESA_INITIATOR_PASSWORD", "MPESA_CERTIFICATE"]),
        (["MPESA_INITIATOR_PASSWORD"], ["MPESA_INITIATOR_NAME", "MPESA_CERTIFICATE"]),
        (list(INITIATOR), ["MPESA_CERTIFICATE"]),
        (["MPESA_CERTIFICATE"], list(INITIATOR)),
        (["MPESA_B2C_SHORTCODE"], [*INITIATOR, "MPESA_CERTIFICATE"]),
    ],
)
def test_half_an_initiator_is_named_at_start(given, missing, certificate):
    whole = {
        **INITIATOR,
        "MPESA_CERTIFICATE": str(certificate()),
        "MPESA_B2C_SHORTCODE": "3012345",
    }
    assert faults({**PRODUCTION, **{name: whole[name] for name in given}}) == [
        f"{name} is missing: reversals, payouts and questions need"
        " MPESA_INITIATOR_NAME, MPESA_INITIATOR_PASSWORD, MPESA_CERTIFICATE."
        for name in missing
    ]


@pytest.fixture
def certificate(tmp_path):
    """Write a certificate to a file of its own; the simulator's, with another end, by default."""

    def write(content=None):
        path = tmp_path / "certificate.pem"
        path.write_bytes(SIMULATOR_CERTIFICATE.read_bytes() + b"\n" if content is None else content)
        return path

    return write


EC_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBjDCCATOgAwIBAgIUa/tYtnn+oG4/RWRZTWPDur33DegwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQZWxsaXB0aWMuaW52YWxpZDAgFw0yNjExMjYxOTMyMTBaGA8y
MTI2MTEwMjE5MzIxMFowGzEZMBcGA1UEAwwQZWxsaXB0aWMuaW52YWxpZDBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABKWOWlUMR5atiQdr51PdcyQPpoaZkDWhLmSi
SjU7JIFBx4ZEVN1ZfiZEFnnFEClH82u+MHUJy+8NJ3LXWLCiDrmjUzBRMB0GA1Ud
DgQWBBQ2nvYBgMF4ixTsdBULOIN2KgwCcDAfBgNVHSMEGDAWgBQ2nvYBgMF4ixTs
dBULOIN2KgwCcDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAMA
a8gn00hTeTGZSOd2suRD1Vt7np60PXKRflsFkVu9AiBLkJMzUN9V73OMp7hxqfhy
H4+4T9AWvrutbG2xkuUpfA==
-----END CERTIFICATE-----
"""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        SIMULATOR_CERTIFICATE.read_bytes()[:600],
        SIMULATOR_CERTIFICATE.read_bytes().replace(b"CERTIFICATE", b"PUBLIC KEY"),
        EC_CERTIFICATE,
    ],
    ids=["empty", "no text", "no certificate", "half of one", "a bare key", "an elliptic curve"],
)
def test_a_certificate_that_no_password_can_be_encrypted_for_is_refused(content, certificate):
    path = certificate(content)
    assert faults({**SECRETS, "MPESA_CERTIFICATE": str(path)}) == [
        f"MPESA_CERTIFICATE names {path}, which is no certificate of an RSA key (PEM)."
    ]


def test_attack_99_production_refuses_what_everybody_has(certificate):
    sound = {**PRODUCTION, **INITIATOR, "MPESA_CERTIFICATE": str(certificate())}
    public = {"MPESA_INITIATOR_PASSWORD": PUBLIC_SANDBOX_INITIATOR_PASSWORD}
    assert faults({**sound, **public}) == [
        "MPESA_INITIATOR_PASSWORD is the public one of the sandbox: give your initiator another."
    ]
    assert faults({**sound, "MPESA_CERTIFICATE": str(SIMULATOR_CERTIFICATE)}) == [
        (
            "MPESA_CERTIFICATE is the simulator's: take Safaricom's production certificate from the"
            " portal."
        )
    ]


def test_payments_from_the_menu_go_to_the_till_or_else_to_the_paybill():
    def of(**changes):
        return Config.from_environment({**PRODUCTION, **changes}).mpesa_c2b_shortcode

    assert of() == "600123"
    assert of(MPESA_TILL="5012345") == "5012345"
    assert of(MPESA_TILL="5012345", MPESA_C2B_SHORTCODE="700700") == "700700"
    assert Config.from_environment(SECRETS).mpesa_c2b_version is C2bVersion.V2
    chosen = {**SECRETS, "MPESA_C2B_VERSION": "v1"}
    assert Config.from_environment(chosen).mpesa_c2b_version is C2bVersion.V1


def test_a_wrong_number_is_not_called_wrong_twice():
    assert faults({**SECRETS, "MPESA_SHORTCODE": "1"}) == [
        "MPESA_SHORTCODE must be 5 to 7 digits, the first no zero."
    ]


def test_the_secret_of_the_registered_addresses_hangs_on_secret_key_unless_it_is_set():
    derived = Config.from_environment(SECRETS).mpesa_c2b_secret
    assert derived == "5b8cfe753a9ebeacd21c784a549d00d7fc27953107e6cd234a5b6fdadc42afb5"
    other = {**SECRETS, "SECRET_KEY": SECRETS["SECRET_KEY"][::-1]}
    assert Config.from_environment(other).mpesa_c2b_secret != derived
    assert (
        Config.from_environment({**other, "MPESA_C2B_SECRET": derived}).mpesa_c2b_secret == derived
    )


@pytest.mark.parametrize(
    "weak", ["0123456789abcdef", "ab" * 32, "D41D8CD98F00B204E9800998ECF8427E", "/" * 40, "g" * 64]
)
def test_attack_99_a_weak_secret_in_an_address_is_refused(weak):
    (fault,) = faults({**SECRETS, "MPESA_C2B_SECRET": weak})
    assert fault.startswith("MPESA_C2B_SECRET must be at least 32 random digits")
    assert weak not in fault


def test_no_secret_of_the_initiator_is_printed(certificate):
    secret = "d41d8cd98f00b204e9800998ecf8427e"
    config = Config.from_environment(
        {
            **PRODUCTION,
            **INITIATOR,
            "MPESA_CERTIFICATE": str(certificate()),
            "MPESA_C2B_SECRET": secret,
        }
    )
    assert (config.mpesa_initiator_password, config.mpesa_c2b_secret) == (
        "a-password-of-our-own",
        secret,
    )
    shown = repr(config)
    assert not [hidden for hidden in ("a-password", secret, "BEGIN CERT") if hidden in shown]
