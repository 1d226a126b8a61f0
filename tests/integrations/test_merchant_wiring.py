"""From settings to the client: what is set is what may be asked for."""

import logging
from dataclasses import replace

import pytest
from merchant_fakes import CERTIFICATE, merchant

from app import create_app
from app.config import C2bVersion, Config
from app.db import Database
from app.integrations.mpesa import Initiator, MerchantClient, MerchantSettings
from app.jobs.build import build_merchant_settings, build_mpesa_settings, build_ports

SECRETS = {
    "SECRET_KEY": "k3Jd8sPq0ZxN7vRt2LmW5yBc9HfG4aEu",
    "JWT_SECRET_KEY": "Qw7Er2Ty9Ui4Op1As6Df3Gh8Jk5Lz0Xc",
}


def laptop(**changes):
    return replace(Config.from_environment(SECRETS), **changes)


def test_on_a_laptop_everything_is_agreed_with_the_simulator():
    assert build_merchant_settings(laptop()) == MerchantSettings(
        c2b_shortcode="174379",
        c2b_version="v2",
        initiator=Initiator("testapi", "Safaricom999!*!", CERTIFICATE),
        b2c_shortcode="600000",
        may_pull=True,
        may_simulate=True,
    )
    assert build_mpesa_settings(laptop(mpesa_till="987654")).till == "987654"


@pytest.mark.parametrize(
    "missing", ["mpesa_initiator_name", "mpesa_initiator_password", "mpesa_certificate"]
)
def test_part_of_an_initiator_is_none(missing):
    assert build_merchant_settings(laptop(**{missing: None})).initiator is None


def test_production_pays_nobody_and_pulls_nothing_that_was_not_set_and_never_simulates():
    environment = {
        **SECRETS,
        "MPESA_ENV": "production",
        "PUBLIC_URL": "https://shop.example.co.ke",
        "DATABASE_URL": "postgresql://sokoni@db.internal/sokoni",
        "MPESA_CONSUMER_KEY": "key",
        "MPESA_CONSUMER_SECRET": "secret",
        "MPESA_SHORTCODE": "600123",
        "MPESA_PASSKEY": "a-passkey-of-our-own",
        "MPESA_TILL": "5012345",
        "MPESA_C2B_VERSION": "v1",
    }
    assert build_merchant_settings(Config.from_environment(environment)) == MerchantSettings(
        c2b_shortcode="5012345",
        c2b_version="v1",
        initiator=None,
        b2c_shortcode=None,
        may_pull=False,
        may_simulate=False,
    )


def test_the_ports_hold_the_client(tmp_path):
    config = laptop(
        mpesa_c2b_version=C2bVersion.V1,
        queue_url=f"sqlite:///{tmp_path}/queue.db",
        media_url=str(tmp_path),
    )
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    assert isinstance(build_ports(config, database).merchant, MerchantClient)
    database.dispose()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"c2b_shortcode": "1234"}, "c2b_shortcode"),
        ({"c2b_shortcode": ""}, "c2b_shortcode"),
        ({"b2c_shortcode": "012345"}, "b2c_shortcode"),
        ({"c2b_version": "v3"}, "c2b_version"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        merchant(**changes)


def test_the_secrets_of_the_merchant_are_taken_out_of_every_log_line(tmp_path, capsys):
    config = laptop(
        mpesa_initiator_password="initiator-password-1",
        database_url=f"sqlite:///{tmp_path}/shop.db",
        queue_url=f"sqlite:///{tmp_path}/queue.db",
        media_url=str(tmp_path),
        log_level="INFO",
    )
    create_app(config)
    secrets = (config.mpesa_initiator_password, config.mpesa_c2b_secret)
    logging.getLogger("test").warning("asked %s at /c/%s", *secrets)
    assert "asked [redacted] at /c/[redacted]" in capsys.readouterr().err
