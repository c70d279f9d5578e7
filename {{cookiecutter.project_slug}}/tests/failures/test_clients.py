"""Clients that hang up, or go away amid an answer."""

import json
from collections.abc import Callable, Iterator

import pytest

from .conftest import Serve
from .servers import wait_for
from .service import FORMS, Service, assert_error, chunk, new_id, raw, reset

hang_up_row = pytest.mark.failure("a client hangs up while its body is read")
VIEWS = """
from flask import Response, request

received, closed = [], []

def keep(data):
    received.append(len(data))
    return {"received": len(data)}

@both
def data(): return keep(request.get_data())
for rule in ("/data", "/api/data"):
    app.add_url_rule(rule, f"post-{rule}", lambda: keep(request.get_data()), methods=["POST"])
    app.add_url_rule(rule + "/form", f"form-{rule}", lambda: keep(request.form["body"]), methods=["POST"])
    app.add_url_rule(rule + "/stream", f"stream-{rule}", lambda: keep(request.stream.read()), methods=["POST"])

@both
def long():
    def parts():
        try:
            while True:
                yield b"x" * 10_000
        finally:
            closed.append(request_id)
    request_id = request.headers["X-Request-ID"]
    return Response(parts())

app.add_url_rule("/received", "received", lambda: received)
app.add_url_rule("/closed", "closed", lambda: closed)
"""
FORM = b"body=Never+to+be+seen."
POST = json.dumps({"title": "Cut", "body": "Never to be seen."}).encode()
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
JSON_TYPE = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
BROKEN: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "shorter than its length": ("Content-Length: 1000", lambda body: body),
    "cut after a chunk": (CHUNKED, chunk),
    "cut in a chunk": (CHUNKED, lambda body: chunk(body) + b"ff\r\nx"),
    "bad chunk size": (CHUNKED, lambda body: chunk(body) + b"zz\r\n"),
}
URLS = [f"{path}/data{end}" for path in FORMS for end in ("", "/form", "/stream")] + ["/api/posts"]


@pytest.fixture(scope="module")
def service(serve_all: Serve, worker: dict[str, str]) -> Service:
    return serve_all(VIEWS, RATELIMIT_WRITES="1000000/minute", **worker)


@pytest.fixture(scope="module")
def bearer(service: Service) -> str:
    """The header of somebody who may write."""
    return f"Authorization: Bearer {service.flask('tokens', 'create', 'me').strip()}"


@pytest.fixture
def _nothing_is_stored(service: Service) -> Iterator[None]:
    """Nor given to a view, told to anybody but the access log, or in the way of the next request."""
    before = stored(service)
    yield
    assert stored(service) == before
    assert service.events() == []
    assert {record["level"] for record in service.log()} == {"info"}


def stored(service: Service) -> object:
    return service.get("/received").json, service.get("/api/posts").json


def form_of(url: str) -> str:
    return FORMS["/api" if url.startswith("/api") else ""]


def request(url: str, framing: str, body: bytes, *headers: str) -> bytes:
    return raw("POST", url, framing, JSON_TYPE if url == "/api/posts" else FORM_TYPE, *headers, body=body)


def content(url: str) -> bytes:
    return POST if url == "/api/posts" else FORM


@hang_up_row
@pytest.mark.usefixtures("_nothing_is_stored")
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("url", URLS)
def test_broken_body_is_400(service: Service, bearer: str, url: str, broken: str) -> None:
    framing, body = BROKEN[broken]
    answer = service.send(request(url, framing, body(content(url)), bearer), end=True)
    assert_error(answer, 400, form_of(url))
    assert service.access(answer.request_id)["level"] == "info"
    assert service.records(answer.request_id) == []


@hang_up_row
@pytest.mark.usefixtures("_nothing_is_stored")
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("url", URLS)
def test_reset_in_the_body_is_an_access_line(service: Service, bearer: str, url: str, broken: str) -> None:
    framing, body = BROKEN[broken]
    with service.connect() as connection:
        headers = ("Expect: 100-continue", f"X-Request-ID: {(request_id := new_id())}", bearer)
        connection.sendall(request(url, framing, b"", *headers))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body(content(url)))
        reset(connection)
    assert service.access(request_id)["status"] == 400
    assert service.records(request_id) == []


@pytest.mark.failure("a client goes away amid an answer")
@pytest.mark.parametrize("path", FORMS)
def test_reset_amid_an_answer_closes_its_generator(service: Service, path: str) -> None:
    with service.connect() as connection:
        connection.sendall(raw("GET", f"{path}/long", f"X-Request-ID: {(request_id := new_id())}"))
        assert connection.recv(1000)
        reset(connection)
    wait_for(lambda: request_id in service.get("/closed").json, "the end of the generator")
    assert service.access(request_id)["level"] == "info"
    assert service.records(request_id) == []
    assert service.events() == []
