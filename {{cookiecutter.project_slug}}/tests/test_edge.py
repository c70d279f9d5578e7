"""What every request and response passes."""

import pytest
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings


@pytest.mark.parametrize("url", ["/", "/unknown", "/api/posts", "/api/unknown", "/static/style.css", "/healthz"])
def test_security_headers_are_on_every_response(client: FlaskClient, url: str) -> None:
    headers = client.get(url, buffered=True).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_request_id_is_taken_over(client: FlaskClient) -> None:
    assert client.get("/", headers={"X-Request-ID": "a.b_c-1"}).headers["X-Request-ID"] == "a.b_c-1"


@pytest.mark.parametrize("hostile", ["", "<b>", "a b", "x" * 129])
def test_hostile_request_id_is_replaced(client: FlaskClient, hostile: str) -> None:
    response = client.get("/unknown", headers={"X-Request-ID": hostile})
    assert len(response.headers["X-Request-ID"]) == 32
    assert f"<code>{response.headers['X-Request-ID']}</code>" in response.text


@pytest.mark.parametrize("url", ["/", "/api/posts"])
def test_untrusted_host_is_400(url: str) -> None:
    client = create_app(Settings(SECRET_KEY="test", TRUSTED_HOSTS=["example.org"])).test_client()
    assert client.get(url, base_url="http://example.org").status_code == 200
    response = client.get(url, base_url="http://evil.test")
    assert response.status_code == 400
    assert "evil" not in response.text


@pytest.mark.parametrize("url", ["/healthz", "/readyz"])
def test_health_answers_whatever_the_host(url: str) -> None:
    client = create_app(Settings(SECRET_KEY="test", TRUSTED_HOSTS=[".example.org"])).test_client()
    assert client.get(url, base_url="http://10.0.0.1").status_code == 200


def test_forwarded_headers_are_trusted_only_from_a_known_proxy(client: FlaskClient) -> None:
    headers = {"X-Forwarded-Prefix": "/mounted"}
    assert 'href="/"' in client.get("/unknown", headers=headers).text
    behind_proxy = create_app(Settings(SECRET_KEY="test", PROXY_HOPS=1)).test_client()
    assert 'href="/mounted/"' in behind_proxy.get("/unknown", headers=headers).text


def test_mount_point_is_never_another_origin() -> None:
    client = create_app(Settings(SECRET_KEY="test", PROXY_HOPS=1)).test_client()
    for path in ("/", "/unknown"):
        text = client.get(path, headers={"X-Forwarded-Prefix": "//evil.test"}).text
        assert 'href="/evil.test/' in text
        assert '"//' not in text


@pytest.mark.parametrize("url", ["/api", "/api/", "/api//posts", "/api/posts/", "/api/posts/1/"])
def test_api_never_redirects(client: FlaskClient, url: str) -> None:
    assert client.get(url).status_code == 404
