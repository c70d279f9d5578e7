"""Calls of another system: what is sent, what is sent again, and what the answers mean."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from conftest import MakeApp
from flask import Flask, request
from flask.testing import FlaskClient
from pydantic import BaseModel
from werkzeug.http import http_date

from {{ cookiecutter.__package }} import upstream
from {{ cookiecutter.__package }}.config import Settings

Answer = Callable[[httpx.Request], httpx.Response]


class Thing(BaseModel):
    name: str


@pytest.fixture
def asking(make_app: MakeApp) -> Iterator[Callable[[Answer], FlaskClient]]:
    """``asking(answer)`` is a client of the service, whose ``/ask`` calls another system that answers so."""
    app = make_app(UPSTREAM_URL="http://other.example/v1")
    made: httpx.Client = app.extensions["upstream"]

    @app.route("/ask", methods=["GET", "POST"])
    def ask() -> str:
        return upstream.call(request.method, "things/1").text

    @app.get("/thing")
    def thing() -> str:
        return upstream.get(Thing, "things/1", colour="red").name

    def asking(answer: Answer) -> FlaskClient:
        made._transport = httpx.MockTransport(answer)
        return app.test_client()

    yield asking
    made.close()


def test_other_system_is_asked_below_its_url_and_told_the_reference(
    asking: Callable[[Answer], FlaskClient],
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"name": "a thing"}, headers={"Set-Cookie": "who=alice"})

    client = asking(answer)
    for reference in ("first", "second"):
        response = client.get("/thing", headers={"X-Request-ID": reference})
        assert (response.status_code, response.text) == (200, "a thing")
    assert [request.headers["X-Request-ID"] for request in seen] == ["first", "second"]
    assert {str(request.url) for request in seen} == {"http://other.example/v1/things/1?colour=red"}
    assert "Cookie" not in seen[1].headers


@pytest.mark.parametrize("body", [b"", b"[]", b'{"name": 1}', b"\xff", b"<html>"])
def test_answer_that_is_something_else_is_502(asking: Callable[[Answer], FlaskClient], body: bytes) -> None:
    client = asking(lambda _: httpx.Response(200, content=body))
    assert client.get("/thing").status_code == 502


@pytest.mark.parametrize(
    ("error", "status", "times"),
    [
        (httpx.ConnectError, 502, {"GET": 3, "POST": 3}),
        (httpx.ReadError, 502, {"GET": 3, "POST": 1}),
        (httpx.RemoteProtocolError, 502, {"GET": 3, "POST": 1}),
        (httpx.ConnectTimeout, 504, {"GET": 1, "POST": 1}),
        (httpx.ReadTimeout, 504, {"GET": 1, "POST": 1}),
        (httpx.PoolTimeout, 504, {"GET": 1, "POST": 1}),
    ],
)
def test_only_what_is_safe_is_sent_again(
    asking: Callable[[Answer], FlaskClient], error: type[httpx.TransportError], status: int, times: dict[str, int]
) -> None:
    sent: list[str] = []

    def fail(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        raise error("lost")

    client = asking(fail)
    for method in times:
        assert client.open("/ask", method=method).status_code == status
    assert {method: sent.count(method) for method in times} == times


IN_AN_HOUR = http_date(datetime.now(UTC) + timedelta(hours=1))


@pytest.mark.parametrize(
    ("status", "retry_after", "meaning", "passed_on"),
    [
        (503, "7", 503, "7"),
        (503, "0", 503, "1"),
        (503, "86400", 503, "60"),
        (503, "9" * 5000, 503, "60"),
        pytest.param(503, IN_AN_HOUR, 503, "60", id="in an hour"),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", 503, "1"),
        (503, "soon", 503, "60"),
        (503, None, 502, None),
        (500, "7", 502, None),
        (302, None, 502, None),
        (404, None, 500, None),
    ],
)
def test_errors_of_the_other_system(
    asking: Callable[[Answer], FlaskClient], status: int, retry_after: str | None, meaning: int, passed_on: str | None
) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(status, headers={"Retry-After": retry_after} if retry_after else {})

    response = asking(answer).get("/ask")
    assert (response.status_code, response.headers.get("Retry-After")) == (meaning, passed_on)
    assert len(sent) == 1


def test_without_another_system_nothing_is_asked(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/ask", view_func=lambda: upstream.call("GET", "things/1").text)
    response = client.get("/ask", headers={"Accept": "application/json"})
    assert (response.status_code, response.get_json()["type"]) == (404, "/problems/not-set-up")


@pytest.mark.parametrize("url", ["other.example", "ftp://other.example", "http://", "http://user:secret@other.example"])
def test_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="UPSTREAM_URL"):
        Settings(SECRET_KEY="test", UPSTREAM_URL=url)
