"""Security headers, request IDs, host names, proxies, the mount point, and the last-resort 500 response."""

from typing import NoReturn

import pytest
from conftest import MakeApp
from flask import Blueprint, Flask, session
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import errors


def test_every_response_has_security_headers(client: FlaskClient) -> None:
    for url in ("/", "/unknown", "/static/style.css", "/healthz"):
        headers = client.get(url, buffered=True).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_policy_of_a_view_is_kept(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/own", view_func=lambda: ("own", {"Content-Security-Policy": "default-src 'none'"}))
    assert client.get("/own").headers.getlist("Content-Security-Policy") == ["default-src 'none'"]


def test_request_id_of_the_client_is_used_if_it_is_valid(client: FlaskClient) -> None:
    assert client.get("/", headers={"X-Request-ID": "a.b_c-1"}).headers["X-Request-ID"] == "a.b_c-1"
    for invalid in ("", "<b>", "a b", "x" * 129):
        response = client.get("/unknown", headers={"X-Request-ID": invalid})
        assert len(response.headers["X-Request-ID"]) == 32
        assert response.headers["X-Request-ID"] in response.text


def test_untrusted_host_is_400_and_is_not_repeated(make_app: MakeApp) -> None:
    client = make_app(TRUSTED_HOSTS=["example.org"]).test_client()
    for url in ("/", "/unknown"):
        assert client.get(url, headers={"Host": "example.org"}).status_code in (200, 404)
        response = client.get(url, headers={"Host": "evil.test"})
        assert response.status_code == 400
        assert "evil" not in response.text


def test_health_checks_are_answered_for_every_host(make_app: MakeApp) -> None:
    client = make_app(TRUSTED_HOSTS=[".example.org"]).test_client()
    for url in ("/healthz", "/readyz"):
        for host in ("10.0.0.1", "", "[::1", "x" * 8000):
            assert client.get(url, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("hops", "is_trusted"), [(0, False), (1, True)])
def test_forwarded_headers_are_trusted_only_behind_a_proxy(make_app: MakeApp, hops: int, is_trusted: bool) -> None:
    client = make_app(PROXY_HOPS=hops).test_client()
    page = client.get("/unknown", headers={"X-Forwarded-Prefix": "/mounted"}).text
    assert ('href="/mounted/"' in page) == is_trusted


def test_mount_point_is_never_another_origin(make_app: MakeApp) -> None:
    client = make_app(PROXY_HOPS=1).test_client()
    for url in ("/", "/unknown"):
        page = client.get(url, headers={"X-Forwarded-Prefix": "//evil.test"}).text
        assert 'href="/evil.test/' in page
        assert 'href="//' not in page


def test_proxy_may_keep_or_remove_the_mount_point(make_app: MakeApp) -> None:
    client = make_app(APPLICATION_ROOT="/library").test_client()
    for url in ("/library/", "/"):
        page = client.get(url, base_url="http://localhost")
        assert page.status_code == 200
        assert 'href="/library/style.css"' in page.text
    assert client.get("/librarian", base_url="http://localhost").status_code == 404


def test_session_cookie_is_secure_in_production(app: Flask, client: FlaskClient) -> None:
    @app.get("/log-in")
    def log_in() -> str:
        session["name"] = "me"
        return "done"

    cookie = client.get("/log-in", base_url="https://localhost").headers["Set-Cookie"]
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax"):
        assert attribute in cookie


def test_exception_outside_of_a_view_is_a_generic_500(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    bp = Blueprint("tested", __name__, url_prefix="/data")
    errors.register_renderer(bp, errors.render_problem)
    app.register_blueprint(bp)

    @app.teardown_request
    def fail(_: BaseException | None) -> NoReturn:
        raise RuntimeError("secret")

    page, problem = client.get("/"), client.get("/data/")
    for response in (page, problem):
        assert response.status_code == 500
        assert response.headers["X-Request-ID"] in response.text
        assert response.headers["Cache-Control"] == "no-store"
        assert "secret" not in response.text
    assert page.mimetype == "text/html"
    assert problem.mimetype == "application/problem+json"
    assert [record.getMessage() for record in caplog.records] == [
        "Exception outside of a view; sent a generic 500 response"
    ] * 2


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_exception_outside_of_a_view_is_passed_on_to_a_developer(app: Flask, client: FlaskClient, setting: str) -> None:
    @app.teardown_request
    def fail(_: BaseException | None) -> NoReturn:
        raise RuntimeError("shown")

    app.config[setting] = True  # later than the start, as by app.run(debug=True)
    with pytest.raises(RuntimeError, match="shown"):
        client.get("/")
