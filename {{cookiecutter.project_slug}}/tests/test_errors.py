"""Error responses, and how to test yours: request a URL that fails, and check the page or the problem detail.

The views are added by the tests, below ``/pages`` for people and ``/data`` for programs.
"""

from typing import NoReturn

import pytest
from flask import Blueprint, Flask, abort, make_response, redirect
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, TooManyRequests
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }} import errors


class OutOfStock(errors.InvalidAPIUsage):
    code = 409
    type = "https://example.org/problems/out-of-stock"
    title = "Out of stock"
    description = "There are not enough items in stock."


@pytest.fixture(autouse=True)
def _blueprints(app: Flask) -> None:
    pages = Blueprint("tested_pages", __name__, url_prefix="/pages")
    data = Blueprint("tested_data", __name__, url_prefix="/data")
    errors.register_renderer(data, errors.render_problem)
    for bp in (pages, data):
        bp.add_url_rule("/", endpoint="index", view_func=lambda: "It works.")
        for view in (busy, bug, full_disk, order, moved, own_response):
            bp.add_url_rule(f"/{view.__name__}", view_func=view)
        app.register_blueprint(bp)


def busy() -> NoReturn:
    abort(503, "Back at <noon>.")


def bug() -> NoReturn:
    raise RuntimeError("secret")


def full_disk() -> NoReturn:
    with open("/dev/full", "w") as file:
        file.write("x")
    raise AssertionError


def order() -> NoReturn:
    raise OutOfStock(payload={"left": 3})


def moved() -> ResponseReturnValue:
    return abort(redirect("/"))


def own_response() -> ResponseReturnValue:
    return abort(make_response("mine", 404))


def assert_page(response: TestResponse, status: int) -> None:
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert response.text.count("<h1>") == 1
    assert f">{response.headers['X-Request-ID']}</code>" in response.text
    assert_not_stored(response)


def assert_problem(response: TestResponse, status: int, title: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    problem = response.get_json()
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert_not_stored(response)


def assert_not_stored(response: TestResponse) -> None:
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Robots-Tag"] == "noindex"


def test_unknown_url_is_404(client: FlaskClient) -> None:
    assert_page(client.get("/unknown"), 404)
    assert_page(client.get("/pages/unknown"), 404)
    assert_problem(client.get("/data/unknown", headers={"Accept": "text/html"}), 404, "Not Found")


def test_client_that_prefers_json_gets_a_problem_for_a_page(client: FlaskClient) -> None:
    response = client.get("/pages/unknown", headers={"Accept": "application/json"})
    assert_problem(response, 404, "Not Found")
    assert "Accept" in response.headers["Vary"]


def test_wrong_method_is_405_with_the_allowed_methods(client: FlaskClient) -> None:
    page, problem = client.delete("/pages/"), client.delete("/data/")
    assert_page(page, 405)
    assert_problem(problem, 405, "Method Not Allowed")
    for response in (page, problem):
        assert "GET" in response.headers["Allow"]


def test_description_passed_to_abort_is_shown(client: FlaskClient) -> None:
    page, problem = client.get("/pages/busy"), client.get("/data/busy")
    assert_page(page, 503)
    assert "Back at &lt;noon&gt;." in page.text
    assert_problem(problem, 503, "Service Unavailable")
    assert problem.get_json()["detail"] == "Back at <noon>."


def test_unhandled_exception_is_logged_once_and_its_text_is_not_sent(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    page = client.get("/pages/bug")
    assert_page(page, 500)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    problem = client.get("/data/bug")
    assert_problem(problem, 500, "Internal Server Error")
    assert "secret" not in page.text + problem.text


def test_unhandled_exception_with_a_known_cause_has_its_status(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert_page(client.get("/pages/full_disk"), 507)
    assert_problem(client.get("/data/full_disk"), 507, "Insufficient Storage")
    assert {record.levelname for record in caplog.records} == {"CRITICAL"}


def test_error_of_the_application_has_its_type_and_members(client: FlaskClient) -> None:
    response = client.get("/data/order")
    assert_problem(response, 409, "Out of stock")
    assert response.get_json() == {
        "type": OutOfStock.type,
        "title": "Out of stock",
        "status": 409,
        "detail": "There are not enough items in stock.",
        "left": 3,
        "request_id": response.headers["X-Request-ID"],
    }


def test_page_says_when_to_retry(app: Flask, client: FlaskClient) -> None:
    @app.get("/pages/limited")
    def limited() -> NoReturn:
        raise TooManyRequests(retry_after=61)

    response = client.get("/pages/limited")
    assert_page(response, 429)
    assert response.headers["Retry-After"] == "61"
    assert "Try again in 5 minutes." in response.text


def test_redirects_and_own_responses_are_sent_unchanged(client: FlaskClient) -> None:
    assert client.get("/pages/moved").headers["Location"] == "/"
    response = client.get("/data/own_response")
    assert (response.status_code, response.text) == (404, "mine")


def test_handler_of_the_application_is_used_instead(app: Flask, client: FlaskClient) -> None:
    @app.errorhandler(404)
    def handle_not_found(error: HTTPException) -> ResponseReturnValue:
        return "mine", 404

    assert client.get("/unknown").text == "mine"


def test_error_that_cannot_be_rendered_is_a_generic_500(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    class Unclassifiable(Exception):  # noqa: N818
        pass

    @errors.to_http_error.register
    def _(error: Unclassifiable) -> NoReturn:
        raise KeyError("secret")

    @app.get("/pages/unclassifiable")
    def fail() -> NoReturn:
        raise Unclassifiable

    assert_page(client.get("/pages/unclassifiable"), 500)
    assert "Error handler failed; sent a generic 500 response" in caplog.text
