"""How errors are answered, and how to test yours: ask for what fails, as a page and as a problem."""

from typing import NoReturn

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }}.errors import InvalidAPIUsage


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
    assert_page(client.get("/blog/unknown"), 404, "There is no such post")
    assert_problem(client.get("/api/unknown"), 404, "Not Found")


def test_unknown_url_for_a_client_that_prefers_json(client: FlaskClient) -> None:
    response = client.get("/unknown", headers={"Accept": "application/json"})
    assert_problem(response, 404, "Not Found")
    assert response.headers["Vary"] == "Accept"


def test_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    page = client.delete("/blog/")
    assert_page(page, 405, "This page cannot be used that way")
    assert "GET" in page.headers["Allow"]

    problem = client.delete("/api/posts")
    assert_problem(problem, 405, "Method Not Allowed")
    assert {"GET", "POST"} <= {method.strip() for method in problem.headers["Allow"].split(",")}


def test_abort_with_a_sentence(app: Flask, client: FlaskClient) -> None:
    def busy() -> NoReturn:
        abort(503, "Back at <noon>.")

    app.add_url_rule("/blog/busy", view_func=busy)
    app.add_url_rule("/api/busy", endpoint="api-busy", view_func=busy)

    page = client.get("/blog/busy")
    assert_page(page, 503, "Sorry, this service is not available right now")
    assert "Back at &lt;noon&gt;." in page.text

    problem = client.get("/api/busy")
    assert_problem(problem, 503, "Service Unavailable")
    assert problem.get_json()["detail"] == "Back at <noon>."


def test_crash_is_logged_once_and_shows_nothing(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> NoReturn:
        raise RuntimeError("secret")

    app.add_url_rule("/blog/crash", view_func=crash)
    app.add_url_rule("/api/crash", endpoint="api-crash", view_func=crash)

    page = client.get("/blog/crash")
    assert_page(page, 500, "Sorry, there is a problem with this service")
    assert "secret" not in page.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    problem = client.get("/api/crash")
    assert_problem(problem, 500, "Internal Server Error")
    assert "secret" not in problem.text


def test_crash_whose_cause_is_known_has_a_better_status(app: Flask, client: FlaskClient) -> None:
    @app.get("/api/full")
    def full() -> str:
        with open("/dev/full", "w") as disk:
            disk.write("one byte too many")
        return "stored"

    assert_problem(client.get("/api/full"), 507, "Insufficient Storage")


def test_an_error_of_your_own(app: Flask, client: FlaskClient) -> None:
    class OutOfStock(InvalidAPIUsage):
        code = 409
        type = "https://example.org/problems/out-of-stock"
        title = "Out of stock"

    @app.get("/api/order")
    def order() -> NoReturn:
        raise OutOfStock("Only 3 are left.", payload={"left": 3})

    response = client.get("/api/order")
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
