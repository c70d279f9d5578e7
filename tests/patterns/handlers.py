"""Flask's documentation, "Error Handlers" to "Blueprint Error Handlers": the owner's own handlers."""

from collections.abc import Callable
from typing import Any

import pytest
from asking import PAGE, PROBLEM, View, as_page_and_problem, ask, kind, plain_problem, raising
from flask import Blueprint, Flask, Response, abort, json, jsonify, redirect, render_template_string, request
from flask.typing import ResponseReturnValue
from my_service import errors
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
)
from werkzeug.routing import RequestRedirect

Handler = Callable[[Any], ResponseReturnValue]


def saying(answer: str, status: int = 200) -> Handler:
    """A handler that answers with this."""
    return lambda error: (answer, status)


# Registering


@pytest.mark.parametrize("registered", [400, BadRequest])
@pytest.mark.parametrize("view", [raising(BadRequest()), lambda: abort(400)])
def test_class_and_code_are_interchangeable(app: Flask, registered: Any, view: View) -> None:
    app.register_error_handler(registered, saying("bad request!", 400))
    response = ask(app, view)
    assert (response.status_code, response.text) == (400, "bad request!")


class InsufficientStorage(HTTPException):
    code = 507
    description = "Not enough storage space."


def test_code_that_werkzeug_has_not_as_a_problem(app: Flask) -> None:
    response = ask(app, raising(InsufficientStorage()))
    assert kind(response) == (507, PROBLEM)
    expected = plain_problem(response, 507, "Insufficient Storage")
    assert response.get_json() == expected | {"detail": "Not enough storage space."}


# Handling


@pytest.mark.parametrize(
    ("error", "answer"), [(ConnectionRefusedError(), "refused"), (ConnectionResetError(), "connection")]
)
@pytest.mark.parametrize("refused_first", [True, False])
def test_most_specific_class_wins(app: Flask, error: Exception, answer: str, refused_first: bool) -> None:
    handlers = [(ConnectionRefusedError, saying("refused")), (ConnectionError, saying("connection"))]
    for registered, handler in handlers if refused_first else reversed(handlers):
        app.register_error_handler(registered, handler)
    assert ask(app, raising(error)).text == answer


@pytest.mark.parametrize("registered", [404, NotFound, HTTPException, Exception])
@pytest.mark.parametrize("prefix", ["/shop", "/api/shop"])
def test_handler_of_a_blueprint_wins_over_the_service(app: Flask, registered: Any, prefix: str) -> None:
    shop = Blueprint("shop", __name__, url_prefix=prefix)
    shop.register_error_handler(registered, saying("the shop's", 404))
    shop.add_url_rule("/view", view_func=raising(NotFound()))
    app.register_blueprint(shop)
    client = app.test_client()
    assert client.get(f"{prefix}/view").text == "the shop's"
    form = PROBLEM if prefix.startswith("/api") else PAGE
    assert kind(client.get(f"{prefix}/unknown")) == (404, form), "routing belongs to no blueprint"


def test_handler_of_the_outer_blueprint_is_asked_where_the_nested_has_none(app: Flask) -> None:
    outer = Blueprint("outer", __name__, url_prefix="/api/outer")
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    outer.register_error_handler(NotFound, saying("outer"))
    inner.register_error_handler(Conflict, saying("inner"))
    for status in (404, 409, 410):
        inner.add_url_rule(f"/{status}", endpoint=f"view-{status}", view_func=lambda status=status: abort(status))
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    client = app.test_client()
    assert client.get("/api/outer/inner/404").text == "outer"
    assert client.get("/api/outer/inner/409").text == "inner"
    assert kind(client.get("/api/outer/inner/410")) == (410, PROBLEM)


# Generic Exception Handlers


def to_json(error: HTTPException) -> ResponseReturnValue:
    """Return JSON instead of HTML for HTTP errors."""
    response = error.get_response()
    response.data = json.dumps({"code": error.code, "name": error.name, "description": error.description})
    response.content_type = "application/json"
    return response


def test_handler_for_http_exception_replaces_that_of_the_service(app: Flask) -> None:
    app.register_error_handler(HTTPException, to_json)
    response = app.test_client().put("/api/posts")
    assert kind(response) == (405, "application/json")
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert response.get_json() == {
        "code": 405,
        "name": "Method Not Allowed",
        "description": MethodNotAllowed.description,
    }


def test_handler_for_exception_gets_crashes_and_no_http_errors(app: Flask) -> None:
    @app.errorhandler(Exception)
    def handle(error: Exception) -> ResponseReturnValue:
        if isinstance(error, HTTPException):
            return error
        return f"generic: {error}", 500

    assert ask(app, raising(RuntimeError("crash"))).text == "generic: crash"
    assert kind(app.test_client().get("/api/unknown")) == (404, PROBLEM)
    assert "<h1>Page not found</h1>" in app.test_client().get("/unknown").text


# Unhandled Exceptions


@pytest.mark.parametrize("registered", [500, InternalServerError])
@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (RuntimeError("crash"), "RuntimeError('crash')"),
        (ConnectionRefusedError("refused"), "ConnectionRefusedError('refused')"),
        (InternalServerError(), "None"),
    ],
)
def test_handler_for_500_is_given_the_original_exception(
    app: Flask, registered: Any, error: Exception, answer: str
) -> None:
    @app.errorhandler(registered)
    def handle(error: InternalServerError) -> ResponseReturnValue:
        return repr(error.original_exception), 500

    response = ask(app, raising(error))
    assert (response.status_code, response.text) == (500, answer)


# Custom Error Pages


@as_page_and_problem
def test_abort_with_a_description(app: Flask, url: str, form: str) -> None:
    response = ask(app, lambda: abort(404, description="Resource <not> found"), url)
    assert kind(response) == (404, form)
    if form == PAGE:
        assert ">Resource &lt;not&gt; found</p>" in response.text
    else:
        expected = plain_problem(response, 404, "Not Found")
        assert response.get_json() == expected | {"detail": "Resource <not> found"}


def test_page_of_the_owner_in_the_layout_of_the_site(app: Flask) -> None:
    @app.errorhandler(404)
    def handle(error: NotFound) -> ResponseReturnValue:
        return render_template_string(
            '{% extends "layout.html" %}{% block title %}Page Not Found{% endblock %}'
            '{% block content %}<a href="{{ url_for("home.index") }}">go somewhere nice</a>{% endblock %}'
        ), 404

    response = app.test_client().get("/unknown")
    assert response.status_code == 404
    assert "<title>Page Not Found</title>" in response.text
    assert '<a href="/">go somewhere nice</a>' in response.text


def test_response_of_abort_is_untouched(app: Flask) -> None:
    response = ask(app, lambda: abort(Response("mine", 418, {"X-Mine": "1"}, mimetype="text/plain")))
    assert (response.text, *kind(response)) == ("mine", 418, "text/plain")
    assert response.headers["X-Mine"] == "1"
    assert "Cache-Control" not in response.headers


@pytest.mark.parametrize(
    ("view", "status"),
    [
        (lambda: redirect("/there"), 302),
        (lambda: abort(redirect("/there", 303)), 303),
        (raising(RequestRedirect("/there")), 308),
    ],
    ids=["returned", "aborted", "raised"],
)
@pytest.mark.parametrize("url", ["/ask", "/api/ask"])
def test_redirect_is_untouched(app: Flask, view: View, status: int, url: str) -> None:
    response = ask(app, view, url)
    assert kind(response) == (status, PAGE)
    assert response.headers["Location"] == "/there"
    assert "X-Robots-Tag" not in response.headers


# Blueprint Error Handlers


def test_handlers_that_look_at_the_path(app: Flask) -> None:
    @app.errorhandler(404)
    @app.errorhandler(405)
    def handle(error: HTTPException) -> ResponseReturnValue:
        if request.path.startswith("/api/"):
            return jsonify(error=str(error)), error.code or 500
        return error

    client = app.test_client()
    assert client.get("/api/unknown").get_json() == {"error": f"404 Not Found: {NotFound.description}"}
    assert client.put("/api/posts").get_json() == {"error": f"405 Method Not Allowed: {MethodNotAllowed.description}"}
    assert client.get("/unknown").text == NotFound().get_body()


# Further Examples


def test_owner_can_delegate_to_the_problem(app: Flask) -> None:
    @app.errorhandler(404)
    def handle(error: NotFound) -> ResponseReturnValue:
        return errors.render_problem(error), 404

    response = app.test_client().get("/unknown")
    assert kind(response) == (404, PROBLEM)
    assert response.get_json() == plain_problem(response, 404, "Not Found")
