"""Flask's documentation, "Returning API Errors as JSON": ``InvalidAPIUsage``, its status, payload and headers."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from asking import PAGE, PROBLEM, as_page_and_problem, ask, kind, plain_problem, raising
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from my_service.errors import InvalidAPIUsage
from werkzeug.exceptions import (
    Conflict,
    HTTPException,
    MethodNotAllowed,
    RequestedRangeNotSatisfiable,
    ServiceUnavailable,
    TooManyRequests,
)


def user_api() -> ResponseReturnValue:
    """The view of the documentation."""
    user_id = request.args.get("user_id")
    if not user_id:
        raise InvalidAPIUsage("No user id provided!")
    if user_id != "420":
        raise InvalidAPIUsage("No such user!", status_code=404, payload={"user_id": user_id})
    return jsonify(name="Ada")


def test_view_of_the_documentation(app: Flask) -> None:
    missing = ask(app, user_api, "/api/user")
    assert kind(missing) == (400, PROBLEM)
    assert missing.get_json() == plain_problem(missing, 400, "Bad Request") | {"detail": "No user id provided!"}

    unknown = app.test_client().get("/api/user?user_id=7")
    assert kind(unknown) == (404, PROBLEM)
    expected = plain_problem(unknown, 404, "Not Found")
    assert unknown.get_json() == expected | {"detail": "No such user!", "user_id": "7"}

    assert app.test_client().get("/api/user?user_id=420").get_json() == {"name": "Ada"}


def test_handler_of_the_documentation(app: Flask) -> None:
    @app.errorhandler(InvalidAPIUsage)
    def invalid_api_usage(error: InvalidAPIUsage) -> ResponseReturnValue:
        return jsonify(error.to_dict()), error.status_code

    response = ask(app, raising(InvalidAPIUsage("Too many.", status_code=409, payload={"left": 3})))
    assert kind(response) == (409, "application/json")
    assert response.get_json() == {"message": "Too many.", "left": 3}


# A catalogue of one's own


class OutOfStock(InvalidAPIUsage):
    code = 409
    type = "https://example.org/problems/out-of-stock"
    title = "Out of stock"

    def __init__(self, left: int) -> None:
        super().__init__(f"Only {left} are left.", payload={"left": left})


def test_subclass_has_type_title_and_status_of_its_own(app: Flask) -> None:
    response = ask(app, raising(OutOfStock(3)))
    assert kind(response) == (409, PROBLEM)
    assert response.get_json() == {
        "type": "https://example.org/problems/out-of-stock",
        "title": "Out of stock",
        "status": 409,
        "detail": "Only 3 are left.",
        "left": 3,
        "request_id": response.headers["X-Request-ID"],
    }


class LastOne(OutOfStock):
    type = "/problems/last-one"
    documentation = "Somebody else has ordered the last one. Order another article."
    title = "Last one gone"
    headers = {"Retry-After": "3600"}  # noqa: RUF012


def test_type_of_the_owner_has_a_page(app: Flask) -> None:
    response = ask(app, raising(LastOne(0)))
    problem = response.get_json()
    assert response.headers["Retry-After"] == "3600"

    client = app.test_client()
    page = client.get(problem["type"])
    assert kind(page) == (200, PAGE)
    assert "<h1>Last one gone</h1>" in page.text
    assert "Somebody else has ordered the last one. Order another article." in page.text
    assert '<a href="/problems/last-one">Last one gone</a>' in client.get("/problems/").text


# The status


@as_page_and_problem
@pytest.mark.parametrize("status", [400, 418, 599, HTTPStatus.CONFLICT])
def test_any_status_of_an_error(app: Flask, url: str, form: str, status: int) -> None:
    response = ask(app, raising(InvalidAPIUsage("A sentence.", status)), url)
    assert kind(response) == (status, form)
    if form == PROBLEM:
        assert response.get_json()["status"] == status
    else:
        assert ">A sentence.</p>" in response.text


@pytest.mark.parametrize("status", [-1, 200, 302, 399, 600])
def test_status_of_no_error_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"^{status} is not an error status"):
        InvalidAPIUsage("A sentence.", status)


# The payload


def test_payload_cannot_replace_members_of_rfc_9457(app: Flask) -> None:
    taken = dict.fromkeys(("type", "title", "status", "detail", "request_id", "message"), "taken")
    response = ask(app, raising(InvalidAPIUsage("A sentence.", 409, {**taken, "left": 3})))
    assert response.status_code == 409
    assert response.get_json() == plain_problem(response, 409, "Conflict") | {"detail": "A sentence.", "left": 3}


def test_payload_is_encoded_as_flask_encodes(app: Flask) -> None:
    payload = {"until": datetime(2030, 1, 1, tzinfo=UTC), "name": "漢字 \ud800"}
    response = ask(app, raising(InvalidAPIUsage("A sentence.", payload=payload)))
    assert response.get_json()["until"] == "Tue, 01 Jan 2030 00:00:00 GMT"
    assert response.get_json()["name"] == "漢字 \ud800"


@pytest.mark.parametrize(
    "value",
    [object(), {(1, 2): "tuple"}, float("nan")],
    ids=["object", "key", "NaN"],
)
def test_payload_that_json_cannot_hold_is_a_crash(app: Flask, caplog: pytest.LogCaptureFixture, value: Any) -> None:
    response = ask(app, raising(InvalidAPIUsage("A sentence.", payload={"value": value})))
    assert kind(response) == (500, PROBLEM)
    assert response.get_json() == plain_problem(response, 500, "Internal Server Error")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "Exception on /api/ask [GET]")
    ]


# Headers


class Throttled(InvalidAPIUsage):
    """An error with headers of its own."""

    code = 429

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [
            *super().get_headers(*args, **kwargs),
            ("RateLimit", "limit=100, remaining=0, reset=7"),
            ("Link", '</a>; rel="help"'),
            ("Link", '</b>; rel="help"'),
        ]


@as_page_and_problem
@pytest.mark.parametrize(
    ("error", "header", "values"),
    [
        (MethodNotAllowed(["GET", "HEAD"]), "Allow", ["GET, HEAD"]),
        (TooManyRequests(retry_after=7), "Retry-After", ["7"]),
        (
            ServiceUnavailable(retry_after=datetime(2030, 1, 1, tzinfo=UTC)),
            "Retry-After",
            ["Tue, 01 Jan 2030 00:00:00 GMT"],
        ),
        (RequestedRangeNotSatisfiable(length=10), "Content-Range", ["bytes */10"]),
        (Throttled("Slow down."), "Link", ['</a>; rel="help"', '</b>; rel="help"']),
        (Conflict(), "Cache-Control", ["no-store"]),
        (Conflict(), "X-Robots-Tag", ["noindex"]),
    ],
)
def test_headers_of_an_error_survive(
    app: Flask, url: str, form: str, error: HTTPException, header: str, values: Iterable[str]
) -> None:
    response = ask(app, raising(error), url)
    assert kind(response) == (error.code, form)
    assert response.headers.getlist(header) == values
    assert len(response.headers.getlist("Content-Type")) == 1
    assert response.headers.getlist("Content-Length") == [str(len(response.data))]
    assert len(response.headers.getlist("X-Request-ID")) == 1
