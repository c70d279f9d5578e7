"""How errors are answered, and how to test yours: ask for what fails, as a page and as a problem."""

from typing import NoReturn

import pytest
from flask import Blueprint, Flask, abort
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }} import errors


@pytest.fixture(autouse=True)
def _orders(app: Flask) -> None:
    """Two blueprints: /shop for people, /orders for programs."""
    shop, orders = Blueprint("shop", __name__, url_prefix="/shop"), Blueprint("orders", __name__, url_prefix="/orders")
    shop.add_url_rule("/", view_func=lambda: "Welcome.", endpoint="index")
    orders.add_url_rule("/1", view_func=lambda: {"id": 1}, endpoint="show")
    errors.claim(shop, errors.Pages("shop"))
    errors.claim(orders, errors.problem)
    app.register_blueprint(shop)
    app.register_blueprint(orders)


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
    assert_page(client.get("/shop/unknown"), 404, "Page not found")
    assert_problem(client.get("/orders/unknown"), 404, "Not Found")


def test_unknown_url_for_a_client_that_prefers_json(client: FlaskClient) -> None:
    response = client.get("/unknown", headers={"Accept": "application/json"})
    assert_problem(response, 404, "Not Found")
    assert response.headers["Vary"] == "Accept"


def test_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    page = client.delete("/shop/")
    assert_page(page, 405, "This page cannot be used that way")
    assert "GET" in page.headers["Allow"]

    problem = client.delete("/orders/1")
    assert_problem(problem, 405, "Method Not Allowed")
    assert "GET" in problem.headers["Allow"]


def test_abort_with_a_sentence(app: Flask, client: FlaskClient) -> None:
    def busy() -> NoReturn:
        abort(503, "Back at <noon>.")

    app.add_url_rule("/shop/busy", view_func=busy)
    app.add_url_rule("/orders/busy", endpoint="orders-busy", view_func=busy)

    page = client.get("/shop/busy")
    assert_page(page, 503, "Sorry, this service is not available right now")
    assert "Back at &lt;noon&gt;." in page.text

    problem = client.get("/orders/busy")
    assert_problem(problem, 503, "Service Unavailable")
    assert problem.get_json()["detail"] == "Back at <noon>."


def test_crash_is_logged_once_and_shows_nothing(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> NoReturn:
        raise RuntimeError("secret")

    app.add_url_rule("/shop/crash", view_func=crash)
    app.add_url_rule("/orders/crash", endpoint="orders-crash", view_func=crash)

    page = client.get("/shop/crash")
    assert_page(page, 500, "Sorry, there is a problem with this service")
    assert "secret" not in page.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    problem = client.get("/orders/crash")
    assert_problem(problem, 500, "Internal Server Error")
    assert "secret" not in problem.text


def test_crash_whose_cause_is_known_has_a_better_status(app: Flask, client: FlaskClient) -> None:
    @app.get("/orders/full")
    def full() -> str:
        with open("/dev/full", "w") as disk:
            disk.write("one byte too many")
        return "stored"

    assert_problem(client.get("/orders/full"), 507, "Insufficient Storage")


def test_an_error_of_your_own(app: Flask, client: FlaskClient) -> None:
    class OutOfStock(errors.InvalidAPIUsage):
        code = 409
        type = "https://example.org/problems/out-of-stock"
        title = "Out of stock"

    @app.get("/orders/order")
    def order() -> NoReturn:
        raise OutOfStock("Only 3 are left.", payload={"left": 3})

    response = client.get("/orders/order")
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
