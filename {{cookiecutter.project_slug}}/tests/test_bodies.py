"""Request bodies that never reach a view."""

from io import BytesIO
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient


@pytest.fixture(autouse=True)
def _reader(app: Flask) -> None:
    @app.post("/read")
    def read() -> Any:
        return request.get_json()


@pytest.mark.parametrize("url", ["/", "/unknown", "/read"])
def test_large_body_is_refused_on_every_url(client: FlaskClient, url: str) -> None:
    assert client.post(url, data=b"x" * (1024 * 1024 + 1)).status_code == 413


def test_body_that_ends_early_is_400(client: FlaskClient) -> None:
    cut = BytesIO(b'{"title": "Cut", "body": "off"}')
    longer = {"CONTENT_LENGTH": "100"}
    response = client.post("/read", input_stream=cut, content_type="application/json", environ_overrides=longer)
    assert response.status_code == 400


def test_chunked_body_above_the_limit_is_413(client: FlaskClient) -> None:
    chunks = BytesIO(b" " * (1024 * 1024 + 1))
    as_gunicorn_says = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    response = client.post(
        "/read", input_stream=chunks, content_type="application/json", environ_overrides=as_gunicorn_says
    )
    assert response.status_code == 413
