"""``/healthz``, ``/readyz`` and ``flask doctor``."""

from pathlib import Path

import pytest
from click.testing import Result
from conftest import MakeApp
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }}.core import health


def test_service_is_healthy(client: FlaskClient) -> None:
    for url, text in (("/healthz", "alive\n"), ("/readyz", "ready\n")):
        response = client.get(url)
        assert (response.status_code, response.text) == (200, text)
        assert response.headers["Cache-Control"] == "no-store"


def test_check_of_the_application_is_logged_and_not_sent(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    health.register_check(app, lambda: "The printer has no paper. Add paper.")
    response = client.get("/readyz")
    assert (response.status_code, response.text) == (503, "not ready\n")
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert "Not ready; /readyz answers 503. The printer has no paper. Add paper." in caplog.text
    assert client.get("/healthz").status_code == 200


def test_service_without_its_database_is_alive_but_not_ready(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/none").test_client()
    assert client.get("/healthz").status_code == 200
    assert caplog.records == []
    response = client.get("/readyz")
    assert (response.status_code, response.text) == (503, "not ready\n")
    assert "The database does not answer: " in caplog.text
    assert "hidden" not in caplog.text


def run(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["doctor", *options])


def problems(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("problem")]


def test_healthy_service_has_no_problem(make_app: MakeApp) -> None:
    result = run(make_app(SECRET_KEY="hidden" * 8, TRUSTED_HOSTS="example.org", PROXY_HOPS="1"))
    assert problems(result) == []
    assert result.exit_code == 0
    assert "hidden" not in result.output


def test_unsafe_settings_are_warnings(app: Flask) -> None:
    result = run(app)
    for name in ("SECRET_KEY", "TRUSTED_HOSTS", "PROXY_HOPS"):
        assert any(name in line for line in result.output.splitlines() if line.startswith("warning"))
    assert result.exit_code == 0


def test_each_check_runs_although_others_find_a_problem(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db", FLASK_DEBUG=True)

    health.register_check(app, lambda: "The printer has no paper. Add paper.")
    result = run(app, "--send-test-event")
    assert problems(result) == [
        "problem  Debug mode is on. Leave out --debug and FLASK_DEBUG.",
        "problem  The schema of the database is behind the code. Run: flask db upgrade",
        "problem  The printer has no paper. Add paper.",
        "problem  Sentry is off, so nothing was sent. Set SENTRY_DSN.",
    ]
    assert result.exit_code == 1
