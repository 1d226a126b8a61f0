"""Traces that are asked for and cannot be made: said before anything starts."""

import sys

import pytest

from app.config import Config
from tests.cli.conftest import SETTINGS

URL = "http://127.0.0.1:4318"
NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed:"
    " pip install -r requirements-otel.txt"
)


@pytest.fixture
def database_kind():
    return "sqlite"


@pytest.fixture(params=["opentelemetry.sdk", "opentelemetry.exporter"])
def without_packages(request, monkeypatch):
    monkeypatch.setitem(sys.modules, request.param, None)  # as if it were not there to import
    for name in list(sys.modules):
        if name.startswith(request.param + "."):
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("command", [["config", "check"], ["worker"], ["web"], ["doctor"]])
def test_nothing_starts_without_the_packages_and_the_command_to_install_them_is_named(
    shop, manage, monkeypatch, without_packages, command
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    result = manage(*command)
    assert result.exit_code == 2
    assert NOT_INSTALLED in " ".join(result.output.split())


def test_with_the_packages_the_settings_are_sound(shop, manage, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    assert manage("config", "check").exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "OTEL_EXPORTER_OTLP_ENDPOINT must be an address like http://127.0.0.1:4318.",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, the one that is spoken.",
        ),
    ],
)
def test_what_cannot_be_spoken_is_refused(shop, manage, monkeypatch, name, value, fault):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setenv(name, value)
    result = manage("config", "check")
    assert result.exit_code == 2
    assert fault in result.output


def test_the_sdks_own_settings_may_stand_in_the_file_and_its_keys_are_secrets(home):
    lines = [f"{name}={value}" for name, value in SETTINGS.items()]
    lines += [
        f"OTEL_EXPORTER_OTLP_ENDPOINT={URL}",
        "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20a-key-of-the-collector,x-tenant=kisumu",
        "OTEL_SERVICE_NAME=",
    ]
    (home / ".env").write_text("\n".join(lines))
    config = Config.load(home / ".env")
    assert config.traces_enabled
    assert [name for name, _ in config.otel] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ]
    assert "a-key-of-the-collector" not in repr(config)
    assert {"Bearer%20a-key-of-the-collector", "Bearer a-key-of-the-collector"} <= set(
        config.secrets
    )
