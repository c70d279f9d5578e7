"""Crashes: wherever they happen they are answered cleanly, in the right form, and logged once."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from asking import PAGE, PROBLEM, as_page_and_problem, ask, kind, plain_problem, raising
from flask import Blueprint, Flask, abort, got_request_exception, render_template_string
from my_service import create_app, errors
from my_service.config import Settings
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import Conflict, HTTPException
from werkzeug.test import Client, TestResponse

Breaking = Callable[[Flask], object]


def crash(*_: Any) -> NoReturn:
    raise RuntimeError("secret")


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def assert_clean_crash(response: TestResponse, form: str) -> None:
    """A 500 that has its request ID and nothing of the exception."""
    assert kind(response) == (500, form)
    assert response.text.count(response.headers["X-Request-ID"]) == 1
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text
    if form == PROBLEM:
        assert response.get_json() == plain_problem(response, 500, "Internal Server Error")
    else:
        assert "<h1>Sorry, there is a problem with this service</h1>" in response.text


# Where a crash can happen


def in_view(app: Flask) -> None:
    app.add_url_rule("/ask", endpoint="page", view_func=crash)
    app.add_url_rule("/api/ask", endpoint="problem", view_func=crash)


def in_before_request(app: Flask) -> None:
    app.before_request(crash)


def with_view(app: Flask, view: Callable[[], str]) -> None:
    app.add_url_rule("/ask", endpoint="page", view_func=view)
    app.add_url_rule("/api/ask", endpoint="problem", view_func=view)


def in_template(app: Flask) -> None:
    with_view(app, lambda: render_template_string("{{ crash() }}", crash=crash))


def in_handler_for_code(app: Flask) -> None:
    app.register_error_handler(404, crash)


def in_handler_of_blueprint(app: Flask) -> None:
    for name, prefix in (("page", None), ("problem", "/api")):
        shop = Blueprint(f"shop-{name}", __name__, url_prefix=prefix)
        shop.register_error_handler(Conflict, crash)
        shop.add_url_rule("/ask", view_func=lambda: abort(409))
        app.register_blueprint(shop)


@as_page_and_problem
@pytest.mark.parametrize(
    "break_it",
    [
        in_view,
        in_before_request,
        in_template,
        in_handler_for_code,
        in_handler_of_blueprint,
    ],
)
def test_crash_is_answered_and_logged_once(
    app: Flask, caplog: pytest.LogCaptureFixture, break_it: Breaking, url: str, form: str
) -> None:
    break_it(app)
    assert_clean_crash(app.test_client().get(url), form)
    assert records(caplog) == [(logging.ERROR, f"Exception on {url} [GET]")]
    assert caplog.records[0].exc_info


@as_page_and_problem
def test_crash_after_request_is_answered(app: Flask, caplog: pytest.LogCaptureFixture, url: str, form: str) -> None:
    with_view(app, lambda: "fine")
    app.after_request(crash)
    assert_clean_crash(app.test_client().get(url), form)
    assert records(caplog)[0] == (logging.ERROR, f"Exception on {url} [GET]")


@as_page_and_problem
def test_crash_sends_its_signal_once(app: Flask, url: str, form: str) -> None:
    sent: list[BaseException] = []

    def receive(sender: Flask, exception: BaseException) -> None:
        sent.append(exception)

    with got_request_exception.connected_to(receive, app):
        ask(app, raising(error := RuntimeError("secret")), url)
    assert sent == [error]


@as_page_and_problem
@pytest.mark.parametrize("status", [400, 418, 500, 503])
def test_http_error_is_not_logged(
    app: Flask, caplog: pytest.LogCaptureFixture, url: str, form: str, status: int
) -> None:
    assert kind(ask(app, lambda: abort(status), url)) == (status, form)
    assert records(caplog) == []


def renderer_that_crashes(error: HTTPException) -> NoReturn:
    crash()


@pytest.mark.parametrize("cause", ["unknown", "crash"])
def test_renderer_of_the_owner_that_crashes_gives_way_to_ours(
    app: Flask, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    errors.register_renderer(shop, renderer_that_crashes)
    shop.add_url_rule("/crash", view_func=crash)
    app.register_blueprint(shop)
    assert_clean_crash(app.test_client().get(f"/shop/{cause}"), PAGE)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


# Development


def test_testing_raises_crashes(app: Flask) -> None:
    app.testing = True
    with pytest.raises(RuntimeError, match=r"^secret$"):
        ask(app, crash)


@pytest.fixture
def debugged() -> Flask:
    return create_app(Settings(FLASK_DEBUG=True))


@pytest.mark.parametrize("url", ["/ask", "/api/ask"])
def test_debug_mode_leaves_crashes_to_the_interactive_debugger(debugged: Flask, url: str) -> None:
    debugged.add_url_rule(url, endpoint="ask", view_func=crash)
    response = Client(DebuggedApplication(debugged, evalex=True)).get(url)
    assert response.status_code == 500
    assert "<title>RuntimeError: secret" in response.text
    assert "EVALEX = true" in response.text
    assert "Content-Security-Policy" not in response.headers, "it would block the debugger's own scripts"


@as_page_and_problem
def test_debug_mode_answers_http_errors(debugged: Flask, url: str, form: str) -> None:
    assert kind(ask(debugged, lambda: abort(409, "A sentence."), url)) == (409, form)
