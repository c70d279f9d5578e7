"""How errors are answered, and how to test yours: ask for what fails, as a page and as a problem."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from flask import Blueprint, Flask, abort
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException, ServiceUnavailable, TooManyRequests
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }} import errors


@pytest.fixture(autouse=True)
def _blueprints(app: Flask) -> None:
    """Two blueprints: /tested-pages for people, /tested-json for programs."""
    pages = Blueprint("tested-pages", __name__, url_prefix="/tested-pages")
    api = Blueprint("tested-json", __name__, url_prefix="/tested-json")
    pages.add_url_rule("/", view_func=lambda: "Welcome.", endpoint="index")
    api.add_url_rule("/1", view_func=lambda: {"id": 1}, endpoint="show")
    errors.claim(pages, errors.Pages("tested"))
    errors.claim(api, errors.problem)
    app.register_blueprint(pages)
    app.register_blueprint(api)


def assert_page(response: TestResponse, status: int, heading: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert f"<h1>{heading}</h1>" in response.text
    assert response.headers["X-Request-ID"] in response.text


def assert_problem(response: TestResponse, status: int, title: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["status"] == status
    assert response.get_json()["title"] == title
    assert response.get_json()["reference"] == response.headers["X-Request-ID"]


def test_unknown_url(client: FlaskClient) -> None:
    assert_page(client.get("/unknown"), 404, "Page not found")
    assert_page(client.get("/tested-pages/unknown"), 404, "Page not found")
    assert_problem(client.get("/tested-json/unknown"), 404, "Not Found")


def test_unknown_url_for_a_client_that_prefers_json(client: FlaskClient) -> None:
    response = client.get("/unknown", headers={"Accept": "application/json"})
    assert_problem(response, 404, "Not Found")
    assert response.headers["Vary"] == "Accept"


def test_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    page = client.delete("/tested-pages/")
    assert_page(page, 405, "This page cannot be used that way")
    assert "GET" in page.headers["Allow"]

    problem = client.delete("/tested-json/1")
    assert_problem(problem, 405, "Method Not Allowed")
    assert "GET" in problem.headers["Allow"]


def test_abort_with_a_sentence(app: Flask, client: FlaskClient) -> None:
    def busy() -> NoReturn:
        abort(503, "Back at <noon>.")

    app.add_url_rule("/tested-pages/busy", view_func=busy)
    app.add_url_rule("/tested-json/busy", endpoint="json-busy", view_func=busy)

    page = client.get("/tested-pages/busy")
    assert_page(page, 503, "Sorry, this service is not available right now")
    assert "Back at &lt;noon&gt;." in page.text

    problem = client.get("/tested-json/busy")
    assert_problem(problem, 503, "Service Unavailable")
    assert problem.get_json()["detail"] == "Back at <noon>."


@pytest.mark.parametrize(
    ("accepted", "language", "direction"),
    [
        ("", "en", "ltr"),
        ("pt-BR,pt;q=0.9", "en", "ltr"),
        ("*", "en", "ltr"),
        ("fa-IR,fa;q=0.9,en-US;q=0.8,en;q=0.7", "fa", "rtl"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans", "ltr"),
        ("en-GB,ar;q=0.9", "en", "ltr"),
        ("ja;q=0.5,pt,AR;q=0.8", "ar", "rtl"),
        ("es;q=0,de;q=0.001", "de", "ltr"),
        ("fr;q=x,,;;=,fr-CA;q=0.1", "fr", "ltr"),
    ],
)
@pytest.mark.parametrize("path", ["/unknown", "/blog/unknown"])
def test_page_is_in_the_visitors_language(
    client: FlaskClient, path: str, accepted: str, language: str, direction: str
) -> None:
    page = client.get(path, headers={"Accept-Language": accepted})
    assert f'<html lang="{language}" dir="{direction}">' in page.text
    assert page.headers["Content-Language"] == language
    assert "Accept-Language" in page.headers["Vary"]


@pytest.mark.parametrize("accepted", ["x" * 60_000, "de," * 20_000, "de;q=" + "9" * 9_000, "\x80\xff", "-,-;q=1"])
def test_any_accept_language_is_answered(client: FlaskClient, accepted: str) -> None:
    assert client.get("/unknown", headers={"Accept-Language": accepted}).status_code == 404


def test_problem_is_english_whatever_the_language(client: FlaskClient) -> None:
    problem = client.get("/tested-json/unknown", headers={"Accept-Language": "fa"})
    assert_problem(problem, 404, "Not Found")
    assert "Vary" not in problem.headers


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [
        (1, "in a minute"),
        (60, "in a minute"),
        (61, "in 2 minutes"),
        (3600, "in an hour"),
        (86400, "in 24 hours"),
        (datetime.now(UTC) + timedelta(minutes=4), "in 5 minutes"),
        (86401, None),
        (0, None),
        (datetime(2001, 1, 1, tzinfo=UTC), None),
        (None, None),
    ],
)
@pytest.mark.parametrize("kind", [ServiceUnavailable, TooManyRequests])
def test_page_says_when_to_try_again_if_that_is_known(
    app: Flask,
    client: FlaskClient,
    kind: type[ServiceUnavailable | TooManyRequests],
    retry_after: datetime | int | None,
    words: str | None,
) -> None:
    @app.get("/tested-pages/busy")
    def busy() -> NoReturn:
        raise kind(retry_after=retry_after)

    page = client.get("/tested-pages/busy").text
    assert page.count("<p>Try again in ") == bool(words)
    assert f"<p>Try again {words}.</p>" in page or not words


def test_crash_is_logged_once_and_shows_nothing(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> NoReturn:
        raise RuntimeError("secret")

    app.add_url_rule("/tested-pages/crash", view_func=crash)
    app.add_url_rule("/tested-json/crash", endpoint="json-crash", view_func=crash)

    page = client.get("/tested-pages/crash")
    assert_page(page, 500, "Sorry, there is a problem with this service")
    assert "secret" not in page.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    problem = client.get("/tested-json/crash")
    assert_problem(problem, 500, "Internal Server Error")
    assert "secret" not in problem.text


def test_crash_whose_cause_is_known_has_a_better_status(app: Flask, client: FlaskClient) -> None:
    @app.get("/tested-json/full")
    def full() -> str:
        with open("/dev/full", "w") as disk:
            disk.write("one byte too many")
        return "stored"

    assert_problem(client.get("/tested-json/full"), 507, "Insufficient Storage")


def test_an_error_of_your_own(app: Flask, client: FlaskClient) -> None:
    class OutOfStock(errors.InvalidAPIUsage):
        code = 409
        type = "https://example.org/problems/out-of-stock"
        title = "Out of stock"

    @app.get("/tested-json/order")
    def order() -> NoReturn:
        raise OutOfStock("Only 3 are left.", payload={"left": 3})

    response = client.get("/tested-json/order")
    assert_problem(response, 409, "Out of stock")
    assert response.get_json() == {
        "type": "https://example.org/problems/out-of-stock",
        "title": "Out of stock",
        "status": 409,
        "detail": "Only 3 are left.",
        "left": 3,
        "reference": response.headers["X-Request-ID"],
    }


def test_a_handler_of_your_own_wins(app: Flask, client: FlaskClient) -> None:
    @app.errorhandler(404)
    def handle_not_found(error: HTTPException) -> tuple[str, int]:
        return "mine", 404

    assert client.get("/unknown").text == "mine"
