"""Clients that stall: they hold up nobody, and are ended. Those that are but slow are served."""

import socket
import time
from contextlib import ExitStack, suppress

import pytest

from .conftest import Serve
from .servers import TIMEOUT, wait_for
from .service import FORMS, Service, assert_error, chunk, new_id, raw, read_answer, reset

VIEWS = """
from flask import Response, request

def received():
    return {"received": len(request.get_data())}

for rule in ("/data", "/api/data"):
    app.add_url_rule(rule, rule, received, methods=["POST"])

@app.get("/long")
def long():
    def parts():
        while True:
            yield b"x" * 10_000
    return Response(parts())
"""
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
CHUNKED = "Transfer-Encoding: chunked"

row = pytest.mark.failure("clients stall")


@pytest.fixture(scope="module")
def service(serve_all: Serve, worker: dict[str, str]) -> Service:
    return serve_all(VIEWS, **worker)


STALLS = {
    "nothing": (b"", b""),
    "headers": (b"GET / HTTP/1.1\r\nX-Stalled: ", b"x"),
    "length, read": (raw("POST", "/data", FORM_TYPE, "Content-Length: 100000"), b"x"),
    "length, unread": (raw("POST", "/", "Content-Length: 100000"), b"x"),
    "chunks, read": (raw("POST", "/data", FORM_TYPE, CHUNKED), chunk(b"x")),
    "length, refused": (raw("POST", "/", "Content-Length: 100000000"), b"x"),
}


@row
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


@row
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


def test_stalled_upload_is_ended_however_fast_it_began(service: Service) -> None:
    """Its speed at first buys little time later."""
    with service.connect() as connection:
        connection.sendall(raw("POST", "/data", "Content-Length: 1000000", body=b"x" * 900_000))
        deadline = time.monotonic() + TIMEOUT
        while not is_ended(connection, b"x" * 100):
            assert time.monotonic() < deadline
            time.sleep(1)


@pytest.mark.parametrize("url", ["/unknown", "/api/posts"])
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


@row
def test_headers_that_stall_are_408(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = read_answer(connection)
    assert_error(answer, 408, FORMS[""])
    (record,) = wait_for(lambda: service.log(answer.request_id))
    assert (record["level"], record["status"]) == ("info", 408)


@row
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
