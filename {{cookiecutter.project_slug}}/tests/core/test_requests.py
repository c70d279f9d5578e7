"""Request bodies."""

from io import BytesIO

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue

LIMIT = 1024 * 1024


@pytest.fixture(autouse=True)
def _view(app: Flask) -> None:
    @app.post("/read")
    def read() -> ResponseReturnValue:
        return {"body": request.get_json()}


def test_body_above_the_limit_is_413_on_every_url(client: FlaskClient) -> None:
    for url in ("/read", "/unknown"):
        assert client.post(url, data=b"x" * (LIMIT + 1)).status_code == 413


def test_chunked_body_above_the_limit_is_413(client: FlaskClient) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}  # set by Gunicorn
    for size, status in ((LIMIT - 10, 200), (LIMIT, 413)):
        body = BytesIO(b" " * size + b'"complete"')
        response = client.post("/read", input_stream=body, content_type="application/json", environ_overrides=chunked)
        assert response.status_code == status


def test_body_that_is_cut_short_is_400(client: FlaskClient) -> None:
    response = client.post(
        "/read",
        input_stream=BytesIO(b'{"title": "Cut", "body": "off"}'),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100", "wsgi.input_terminated": True},
    )
    assert response.status_code == 400


def test_invalid_json_is_400(client: FlaskClient) -> None:
    deep, huge_number, utf16 = b"[" * 200_000, b"9" * 5_000, "{}".encode("utf-16")
    for body in (b"", b"{", b"NaN", b"Infinity", b'"\xff"', deep, huge_number, utf16):
        response = client.post(
            "/read", data=body, content_type="application/json", headers={"Accept": "application/json"}
        )
        assert response.status_code == 400, body[:10]
        assert response.get_json()["detail"] == "The body is not valid JSON."


def test_other_content_type_than_json_is_415(client: FlaskClient) -> None:
    response = client.post("/read", data="a=1", headers={"Accept": "application/json"})
    assert response.status_code == 415
    assert response.get_json()["detail"] == "Send the body as application/json."
