"""Clients that hang up, stall, or go away amid an answer."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from .conftest import Serve
from .servers import TIMEOUT, wait_for
from .service import FORMS, Service, assert_error, chunk, new_id, raw, read_answer, reset

hang_up_row = pytest.mark.failure("a client hangs up while its body is read")
stall_row = pytest.mark.failure("clients stall")
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


STALLS = {
    "nothing": (b"", b""),
    "headers": (b"GET / HTTP/1.1\r\nX-Stalled: ", b"x"),
    "length, read": (raw("POST", "/data", FORM_TYPE, "Content-Length: 100000"), b"x"),
    "length, unread": (raw("POST", "/", "Content-Length: 100000"), b"x"),
    "chunks, read": (raw("POST", "/data", FORM_TYPE, CHUNKED), chunk(b"x")),
    "length, refused": (raw("POST", "/", "Content-Length: 100000000"), b"x"),
}


@stall_row
@pytest.mark.parametrize("stall", STALLS)
def test_stalled_clients_hold_up_nobody_and_are_ended(serve: Serve, stall: str) -> None:
    """32 of them, each sending a byte a second, against the two workers and eight threads of production."""
    service = serve(VIEWS, WEB_CONCURRENCY="2")
    start, drop = STALLS[stall]
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(32)]
        for client in clients:
            client.sendall(start)
        assert service.get("/healthz").status == 200  # within TIMEOUT
        stalled, deadline = set(clients), time.monotonic() + TIMEOUT
        while stalled and stall != "nothing":
            assert time.monotonic() < deadline, f"{len(stalled)} are not ended"
            stalled -= {client for client in stalled if is_ended(client, drop)}
            assert service.get("/healthz").status == 200
            time.sleep(1)
    assert service.stop() == 0
    assert {record["level"] for record in service.log()} == {"info"}
    assert service.kent.events(service.port) == []


@stall_row
def test_clients_that_do_not_read_are_ended(serve: Serve) -> None:
    """As many as there are threads: until then others have to wait."""
    service = serve(VIEWS, WEB_CONCURRENCY="2")
    with ExitStack() as stack:
        ids = [new_id() for _ in range(8)]
        for request_id in ids:
            client = stack.enter_context(service.connect())
            client.sendall(raw("GET", "/long", f"X-Request-ID: {request_id}"))
        assert service.get("/healthz").status == 200  # within TIMEOUT
        assert {service.access(request_id)["status"] for request_id in ids} == {200}
    assert service.stop() == 0
    assert {record["level"] for record in service.log()} == {"info"}
    assert service.kent.events(service.port) == []


def test_slow_but_steady_download_arrives(service: Service) -> None:
    """30 kB a second for as long as nobody else would wait: more than UNREAD of workers.py, twice."""
    with service.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.sendall(raw("GET", "/long", f"X-Request-ID: {(request_id := new_id())}"))
        for _ in range(120):
            assert len(connection.recv(3000))
            time.sleep(0.1)
        reset(connection)
    assert service.access(request_id)["duration_ms"] > 12_000


@pytest.mark.parametrize("drip", [1, 100])
def test_stalled_upload_is_ended_however_fast_it_began(service: Service, drip: int) -> None:
    """Its speed at first buys little time later."""
    with service.connect() as connection:
        connection.sendall(raw("POST", "/data", "Content-Length: 1000000", body=b"x" * 900_000))
        deadline = time.monotonic() + TIMEOUT
        while not is_ended(connection, b"x" * drip):
            assert time.monotonic() < deadline
            time.sleep(1)


@pytest.mark.parametrize("url", ["/unknown", "/", "/api/posts"])
def test_body_that_nobody_read_is_no_request(service: Service, url: str) -> None:
    """What comes late of it would be, if the connection went on: request smuggling, RFC 9112 section 11.2."""
    with service.connect() as connection:
        connection.sendall(raw("POST", url, "Content-Length: 200"))
        assert read_answer(connection).status >= 400
        time.sleep(2)
        with suppress(ConnectionError):
            connection.sendall(raw("GET", "/healthz", f"X-Request-ID: {(smuggled := new_id())}"))
            assert connection.recv(1000) == b""
    assert service.log(smuggled) == []


def test_slow_body_of_each_request_on_a_connection_arrives(service: Service) -> None:
    with service.connect() as connection:
        for _ in range(4):
            connection.sendall(raw("POST", "/data", "Content-Length: 5"))
            time.sleep(0.6)
            connection.sendall(b"whole")
            try:
                assert read_answer(connection).json == {"received": 5}
            except ConnectionError:
                break  # of a sync worker, which keeps no connection


def is_ended(client: socket.socket, drop: bytes) -> bool:
    client.settimeout(0.001)
    try:
        client.sendall(drop)
        while client.recv(10_000):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@stall_row
def test_headers_that_stall_are_408(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = read_answer(connection)
    assert_error(answer, 408, FORMS[""])
    (record,) = wait_for(lambda: service.log(answer.request_id))
    assert (record["level"], record["status"]) == ("info", 408)


@stall_row
@pytest.mark.parametrize("path", FORMS)
def test_body_that_stalls_is_400(service: Service, path: str) -> None:
    answer = service.send(raw("POST", f"{path}/data", "Content-Length: 1000", body=b"x"))
    assert_error(answer, 400, FORMS[path])
    assert service.records(answer.request_id) == []


def test_slow_but_steady_upload_arrives(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(raw("POST", "/data", "Content-Length: 5000", body=b"x" * 2000))
        for _ in range(6):
            time.sleep(0.5)
            connection.sendall(b"x" * 500)
        assert read_answer(connection).json == {"received": 5000}


def test_idle_connections_take_no_thread(service: Service) -> None:
    """As browsers open them, to have them when they need them."""
    with ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(8)]
        assert service.get("/healthz").status == 200
        idle[0].sendall(raw("GET", "/healthz"))
        with suppress(ConnectionError):  # of a sync worker, which has ended it by now
            assert read_answer(idle[0]).status == 200
