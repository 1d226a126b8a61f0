"""What the settings say together, and how secret the secrets are."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.config import SIMULATOR_CERTIFICATE, Config, MpesaEnv
from tests.cli.doctor.conftest import LIVE_SETTINGS, codes, look, only_line


@pytest.fixture
def database_kind() -> str:
    return "sqlite"  # nothing here asks the database


def test_production_with_settings_of_its_own_is_fine(make_exam, live):
    assert only_line(make_exam(live), "settings") == (
        "ok",
        "Every setting can be read: M-Pesa production, paybill 600123, https://duka.co.ke.",
    )


def test_a_till_is_named_with_its_store(make_exam, live):
    exam = make_exam(replace(live, mpesa_till="5123456"))
    assert "till 5123456 of store 600123" in only_line(exam, "settings")[1]


@pytest.mark.parametrize("env", [MpesaEnv.SIMULATOR, MpesaEnv.SANDBOX])
def test_what_is_not_production_is_a_warning(make_exam, live, env):
    base_url = {MpesaEnv.SIMULATOR: "http://127.0.0.1:5001"}.get(
        env, "https://sandbox.safaricom.co.ke"
    )
    exam = make_exam(replace(live, mpesa_env=env, mpesa_base_url=base_url))
    report = look(exam, "settings")
    assert [(line.code, line.level) for line in report.lines] == [
        ("not_live", "warning"),
        ("ok", "ok"),
    ]
    assert report.lines[0].sentence == (
        f"MPESA_ENV is {env}: nobody can pay real money; set MPESA_ENV=production to go live."
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("mpesa_shortcode", "174379"),
        ("mpesa_c2b_shortcode", "600984"),
        ("mpesa_b2c_shortcode", "600000"),
        ("mpesa_till", "5001001"),
        ("mpesa_initiator_name", "testapi"),
        ("mpesa_consumer_key", "simulator"),
        ("mpesa_consumer_secret", "simulator"),
        ("mpesa_pull_number", "254708374149"),
    ],
)
def test_what_is_left_of_the_sandbox_is_named_in_production_alone(make_exam, live, setting, value):
    line = look(make_exam(replace(live, **{setting: value})), "settings").lines[0]
    assert (line.code, line.level) == ("sandbox_remains", "fault")
    assert line.sentence.startswith(f"{setting.upper()} still hold")
    sandbox = replace(
        live,
        mpesa_env=MpesaEnv.SANDBOX,
        mpesa_base_url="https://sandbox.safaricom.co.ke",
        **{setting: value},
    )
    assert codes(make_exam(sandbox), "settings") == ["not_live", "ok"]


def test_a_number_that_follows_another_is_not_named_beside_it(make_exam, live):
    both = replace(live, mpesa_shortcode="174379", mpesa_c2b_shortcode="174379")
    line = look(make_exam(both), "settings").lines[0]
    assert line.sentence.startswith("MPESA_SHORTCODE still hold")


def test_keys_that_go_to_another_gateway_are_a_warning(make_exam, live, laptop):
    foreign = look(make_exam(replace(live, mpesa_base_url="https://gate.example")), "settings")
    assert [line.code for line in foreign.lines] == ["gateway_foreign", "ok"]
    assert "MPESA_BASE_URL is gate.example" in foreign.lines[0].sentence
    real = replace(laptop, mpesa_base_url="https://api.safaricom.co.ke")
    assert codes(make_exam(real), "settings") == ["not_live", "gateway_foreign", "ok"]
    assert codes(make_exam(laptop), "settings") == ["not_live", "ok"]


@pytest.mark.parametrize(
    "typed",
    [
        "change-me-change-me-change-me-change",
        "my-super-Secret-key-for-the-shop-1",
        "0123456789-abcdefghijklmnopqrstuvw",
        "sokoni-duka-la-mtaani-kisumu-2026!",
    ],
)
def test_a_secret_that_somebody_typed_is_named_and_not_shown(make_exam, live, laptop, typed):
    code, sentence = only_line(make_exam(replace(live, secret_key=typed)), "secrets")
    assert code == "secret_guessable"
    assert sentence.startswith("SECRET_KEY can be guessed")
    assert typed not in sentence
    both = make_exam(replace(laptop, secret_key=typed, jwt_secret_key=f"{typed}2"))
    (line,) = look(both, "secrets").lines
    assert (line.level, line.sentence[:31]) == ("warning", "SECRET_KEY and JWT_SECRET_KEY c")


def test_a_secret_of_dice_is_fine_and_so_is_a_file_of_ones_own(make_exam, live, home):
    (home / ".env").touch(mode=0o600)
    assert codes(make_exam(live), "secrets") == ["ok"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_an_env_file_that_others_can_read_is_a_warning(make_exam, live, home, mode):
    (home / ".env").touch()
    (home / ".env").chmod(mode)
    report = look(make_exam(live), "secrets")
    assert [(line.code, line.level) for line in report.lines] == [
        ("env_file_open", "warning"),
        ("ok", "ok"),
    ]


def test_a_certificate_of_the_simulator_keeps_production_from_starting_at_all():
    """So it is `settings_refused`: the examination does not begin."""
    with pytest.raises(Exception, match="MPESA_CERTIFICATE is the simulator's"):
        Config.from_environment(
            {
                **LIVE_SETTINGS,
                "MPESA_INITIATOR_NAME": "shop",
                "MPESA_INITIATOR_PASSWORD": "a password",
                "MPESA_CERTIFICATE": str(Path(SIMULATOR_CERTIFICATE)),
            }
        )
