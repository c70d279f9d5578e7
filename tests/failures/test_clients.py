"""Clients that hang up, and hostile requests."""

import http.client
import os
import random
import socket
from collections.abc import Callable

import pytest
from conftest import Serve
from helpers import FORMS, VIEWS, assert_error, bearer, failures, levels, wait_for, workers
from service import Service, chunk, raw

RECEIVE = """
received, closed = [], []

def keep(data):
    received.append(len(data))
    return {"received": len(data)}

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

def data(): return keep(request.get_data())
def form(): return keep(request.form["body"])
for view in (data, form):
    both(view, methods=["POST"])
app.add_url_rule("/received", "received", lambda: received)
app.add_url_rule("/closed", "closed", lambda: closed)
"""
FORM = "Content-Type: application/x-www-form-urlencoded"
BROKEN: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "shorter than its length": ("Content-Length: 1000", lambda body: body),
    "cut after a chunk": ("Transfer-Encoding: chunked", chunk),
    "cut in a chunk": ("Transfer-Encoding: chunked", lambda body: chunk(body) + b"ff\r\nx"),
    "bad chunk size": ("Transfer-Encoding: chunked", lambda body: chunk(body) + b"zz\r\n"),
}
URLS = [f"{prefix}/{name}" for prefix in FORMS for name in ("data", "form")] + ["/api/posts"]


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    return serve_all(VIEWS + RECEIVE, RATELIMIT_WRITES="1000000/minute", WEB_CONCURRENCY="1")


@pytest.fixture(scope="module")
def headers(service: Service) -> list[str]:
    return [f"Authorization: {bearer(service)}"]


def assert_nothing_is_stored(service: Service) -> None:
    assert service.get("/received").json == []
    assert service.get("/api/posts").json == {"posts": []}
    assert levels(service) == {"info"}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("url", URLS)
def test_incomplete_body_is_400(service: Service, headers: list[str], url: str, broken: str) -> None:
    framing, cut = BROKEN[broken]
    content_type = "Content-Type: application/json" if url == "/api/posts" else FORM
    body = b'{"title": "Cut", "body": "x"}' if url == "/api/posts" else b"body=x"
    request = raw("POST", url, framing, content_type, *headers, body=cut(body))
    answer = service.send(request, end=True)
    assert_error(answer, 400, "/api" if url.startswith("/api") else "")
    assert failures(service, answer.headers["X-Request-ID"]) == []
    assert_nothing_is_stored(service)


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("url", ["/data", "/api/form"])
def test_client_hangs_up_while_it_sends_a_body(service: Service, url: str, broken: str) -> None:
    framing, cut = BROKEN[broken]
    request_id = f"reset-{random.randrange(2**32)}"
    service.break_off("POST", url, framing, FORM, f"X-Request-ID: {request_id}", body=cut(b"body=x"))
    [record] = service.records(request_id)
    assert (record["logger"], record["level"], record["status"]) == ("gunicorn.access", "info", 400)
    assert_nothing_is_stored(service)


@pytest.mark.parametrize("prefix", FORMS)
def test_client_hangs_up_while_it_receives_a_response(service: Service, prefix: str) -> None:
    request_id = f"gone-{random.randrange(2**32)}"
    with service.connect() as connection:
        connection.sendall(raw("GET", f"{prefix}/long", f"X-Request-ID: {request_id}"))
        assert connection.recv(1000)
    wait_for(lambda: request_id in service.get("/closed").json)
    assert failures(service, request_id) == []
    assert levels(service) == {"info"}


METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "A" * 30]
PATHS = ["/", "/unknown", "/blog/", "/blog/1", "/api/posts", "/api/posts/1", "/api/unknown", "/problems/", "/healthz"]
PATHS += ["/static/style.css", "/static/", "*", "http://evil.test/", "//evil.test/", "/api/openapi.json", ""]
PIECES = ["../", "%2e%2e/", "..%2f", "%00", "%ff", "%C0%AF", "%F0%9F", "\\", "//", ";", "%", "%zz", "'", "<b>", "\xff"]
PIECES += ["%0d%0aX: y", "\x7f", " ", "x" * 3000, "?q=%ff", "?before=%00", "?limit=-1", "?" + "a=1&" * 1000, "#", "["]
HEADERS = ["Range: bytes=0-", "Range: bytes=-1", "Range: " + "0-1," * 1000, "If-Match: *", "If-None-Match: \xff"]
HEADERS += [
    "If-Modified-Since: x",
    "Accept: \xff",
    "Accept: " + "a/b," * 1000,
    "Cookie: \xff=x",
    "Cookie: session=.eJx",
]
HEADERS += ["Authorization: Bearer \xff", "Authorization: Basic x", "X-Forwarded-For: \xff", "X-Request-ID: <b>"]
HEADERS += [
    "Content-Type: application/json; charset=evil",
    "Content-Type: multipart/form-data",
    "Host: b",
    "Host: \xff",
]
HEADERS += ["Transfer-Encoding: chunked, chunked", "Content-Encoding: gzip", "Accept-Language: " + "x" * 5000, ": x"]
HEADERS += ["Content-Length: 10", "Content-Length: -1", "Upgrade: h2c", "Expect: 100-continue"]
BODIES = [b"", b"", b"\x00" * 100, b"[" * 50_000, b'{"title": NaN}', b"9" * 5000, b"\xff\xfe{", b"--x\r\n" * 1000]


def hostile_request(dice: random.Random) -> bytes:
    target = dice.choice(PATHS) + "".join(dice.choices(PIECES, k=dice.randrange(3)))
    body, headers = dice.choice(BODIES), dice.sample(HEADERS, dice.randrange(4))
    return raw(dice.choice(METHODS), target, *headers, f"Content-Length: {len(body)}", body=body)


def status(service: Service, request: bytes) -> int:
    """Return the status, or 0 if there is no response."""
    with service.connect() as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0
        return response.status


def test_hostile_requests_are_never_server_errors(serve: Serve) -> None:
    seed = int(os.environ.get("HOSTILE_SEED", "0")) or random.randrange(1, 2**32)
    print(f"HOSTILE_SEED={seed}")
    service, dice = serve(RATELIMIT_WRITES="1000000/minute", WEB_CONCURRENCY="1"), random.Random(seed)
    worker, found = workers(service), set()
    for _ in range(3000):
        request = hostile_request(dice)
        result = status(service, request)
        assert result < 500, (seed, request)
        found.add(result)
    assert found > {400, 404, 405}
    assert levels(service) <= {"info", "warning"}
    assert workers(service) == worker
