"""``/healthz`` and ``/readyz``."""

import pytest
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
    health.register_check(app, "printer", lambda: "The printer has no paper. Add paper.")
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
