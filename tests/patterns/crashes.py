"""Crashes: wherever they happen they are answered cleanly, in the right form, and logged once."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from asking import PAGE, PROBLEM, as_page_and_problem, ask, kind, plain_problem, raising
from flask import Blueprint, Flask, abort, got_request_exception, render_template, render_template_string, request
from my_service import create_app, errors
from my_service.config import Settings
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import Conflict, HTTPException, NotFound
from werkzeug.test import Client, TestResponse

Breaking = Callable[[Flask], object]


def crash(*_: Any) -> NoReturn:
    raise RuntimeError("secret")


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def assert_clean_crash(response: TestResponse, form: str) -> None:
    """A 500 that has its reference and nothing of the exception."""
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


def in_url_value_preprocessor(app: Flask) -> None:
    app.url_value_preprocessor(crash)


def in_nested_blueprint(app: Flask) -> None:
    for name, prefix in (("page", ""), ("problem", "/api")):
        outer, inner = Blueprint(f"outer-{name}", __name__, url_prefix=prefix or None), Blueprint("inner", __name__)
        inner.add_url_rule("/ask", view_func=crash)
        outer.register_blueprint(inner)
        app.register_blueprint(outer)


def with_view(app: Flask, view: Callable[[], str]) -> None:
    app.add_url_rule("/ask", endpoint="page", view_func=view)
    app.add_url_rule("/api/ask", endpoint="problem", view_func=view)


def in_context_processor(app: Flask) -> None:
    app.context_processor(crash)
    with_view(app, lambda: render_template_string("fine"))


def in_template(app: Flask) -> None:
    with_view(app, lambda: render_template_string("{{ crash() }}", crash=crash))


def in_template_that_is_missing(app: Flask) -> None:
    with_view(app, lambda: render_template("missing.html"))


def in_template_whose_base_is_missing(app: Flask) -> None:
    with_view(app, lambda: render_template_string("{% extends base %}", base="missing.html"))


def in_response_that_is_none(app: Flask) -> None:
    with_view(app, lambda: None)  # type: ignore[arg-type,return-value]


def in_handler_for_code(app: Flask) -> None:
    app.register_error_handler(404, crash)


def in_handler_for_class(app: Flask) -> None:
    app.register_error_handler(NotFound, crash)


def in_handler_for_exception(app: Flask) -> None:
    app.register_error_handler(LookupError, crash)
    with_view(app, raising(KeyError()))


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
        in_url_value_preprocessor,
        in_nested_blueprint,
        in_context_processor,
        in_template,
        in_template_that_is_missing,
        in_template_whose_base_is_missing,
        in_response_that_is_none,
        in_handler_for_code,
        in_handler_for_class,
        in_handler_for_exception,
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
    assert records(caplog) == [(logging.ERROR, f"Exception on {url} [GET]")]


@as_page_and_problem
@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_crash_of_any_method(app: Flask, url: str, form: str, method: str) -> None:
    app.add_url_rule(url, endpoint="ask", view_func=crash, methods=["GET", method])
    response = app.test_client().open(url, method=method)
    assert kind(response) == (500, form)
    assert bool(response.data) == (method != "HEAD")


@as_page_and_problem
def test_crash_sends_its_signal_once(app: Flask, url: str, form: str) -> None:
    sent: list[BaseException] = []

    def receive(sender: Flask, exception: BaseException) -> None:
        sent.append(exception)

    with got_request_exception.connected_to(receive, app):
        ask(app, raising(error := RuntimeError("secret")), url)
    assert sent == [error]


@as_page_and_problem
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 429, 500, 503])
def test_http_error_is_not_logged(
    app: Flask, caplog: pytest.LogCaptureFixture, url: str, form: str, status: int
) -> None:
    assert kind(ask(app, lambda: abort(status), url)) == (status, form)
    assert records(caplog) == []


def test_error_after_a_crash_is_answered_as_before(app: Flask) -> None:
    in_view(app)
    client = app.test_client()
    before = client.get("/api/unknown").get_json()
    client.get("/api/ask")
    after = client.get("/api/unknown").get_json()
    assert before | {"reference": ""} == after | {"reference": ""}


def renderer_that_crashes(error: HTTPException) -> NoReturn:
    crash()


@pytest.mark.parametrize("cause", ["unknown", "crash"])
def test_renderer_of_the_owner_that_crashes_gives_way_to_ours(
    app: Flask, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    errors.claim(shop, renderer_that_crashes)
    shop.add_url_rule("/crash", view_func=crash)
    app.register_blueprint(shop)
    assert_clean_crash(app.test_client().get(f"/shop/{cause}"), PAGE)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


# Development


def test_testing_raises_crashes(app: Flask) -> None:
    app.testing = True
    with pytest.raises(RuntimeError, match=r"^secret$"):
        ask(app, crash)


@as_page_and_problem
def test_testing_answers_http_errors(app: Flask, url: str, form: str) -> None:
    app.testing = True
    assert kind(ask(app, lambda: abort(409), url)) == (409, form)


@as_page_and_problem
@pytest.mark.parametrize("mode", ["TESTING", "DEBUG"])
def test_crash_is_answered_where_exceptions_do_not_propagate(app: Flask, url: str, form: str, mode: str) -> None:
    app.config.update({mode: True, "PROPAGATE_EXCEPTIONS": False})
    assert_clean_crash(ask(app, crash, url), form)


def test_crash_propagates_where_asked_to(app: Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True
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


def test_debug_mode_names_the_form_field_that_is_missing(debugged: Flask, app: Flask) -> None:
    def view() -> str:
        return request.form["name"]

    assert "'name'" in ask(debugged, view).get_json()["detail"]
    assert "detail" not in ask(app, view).get_json()
