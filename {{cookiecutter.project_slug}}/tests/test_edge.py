"""What every request and response passes."""

import pytest
from conftest import MakeApp
from flask.testing import FlaskClient


@pytest.mark.parametrize("url", ["/", "/unknown", "/problems/", "/static/style.css", "/healthz"])
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
    assert f">{response.headers['X-Request-ID']}</code>" in response.text


@pytest.mark.parametrize("url", ["/", "/unknown"])
def test_untrusted_host_is_400(make_app: MakeApp, url: str) -> None:
    client = make_app(TRUSTED_HOSTS=["example.org"]).test_client()
    assert client.get(url, base_url="http://example.org").status_code in (200, 404)
    response = client.get(url, base_url="http://evil.test")
    assert response.status_code == 400
    assert "evil" not in response.text


@pytest.mark.parametrize("trusted_hosts", [None, [".example.org"]])
@pytest.mark.parametrize("url", ["/healthz", "/readyz"])
def test_health_answers_whatever_the_host(make_app: MakeApp, url: str, trusted_hosts: list[str] | None) -> None:
    client = make_app(TRUSTED_HOSTS=trusted_hosts).test_client()
    for host in ("10.0.0.1", "", "[::1", "x" * 8000):
        assert client.get(url, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("hops", "home"), [(0, "/"), (1, "/mounted/")])
def test_forwarded_headers_are_trusted_only_from_a_known_proxy(make_app: MakeApp, hops: int, home: str) -> None:
    page = make_app(PROXY_HOPS=hops).test_client().get("/unknown", headers={"X-Forwarded-Prefix": "/mounted"})
    assert f'href="{home}"' in page.text


def test_mount_point_is_never_another_origin(make_app: MakeApp) -> None:
    client = make_app(PROXY_HOPS=1).test_client()
    for path in ("/", "/unknown"):
        text = client.get(path, headers={"X-Forwarded-Prefix": "//evil.test"}).text
        assert 'href="/evil.test/' in text
        assert '"//' not in text
