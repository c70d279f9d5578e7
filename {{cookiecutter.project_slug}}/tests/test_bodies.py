"""Request bodies that never reach a view."""

from io import BytesIO

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize("url", ["/", "/unknown", "/api/posts", "/api/unknown", "/blog/"])
def test_large_body_is_refused_on_every_url(client: FlaskClient, url: str) -> None:
    response = client.post(url, data=b"x" * (1024 * 1024 + 1))
    assert response.status_code == 413
    assert response.mimetype == ("application/problem+json" if url.startswith("/api") else "text/html")


def test_body_that_ends_early_is_400(client: FlaskClient) -> None:
    cut = BytesIO(b'{"title": "Cut", "body": "off"}')
    longer = {"CONTENT_LENGTH": "100"}
    response = client.post("/api/posts", input_stream=cut, content_type="application/json", environ_overrides=longer)
    assert response.status_code == 400


def test_chunked_body_above_the_limit_is_413(client: FlaskClient) -> None:
    chunks = BytesIO(b" " * (1024 * 1024 + 1))
    as_gunicorn_says = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    response = client.post(
        "/api/posts", input_stream=chunks, content_type="application/json", environ_overrides=as_gunicorn_says
    )
    assert response.status_code == 413
