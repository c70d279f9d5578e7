"""The upstream service of the comments is slow, fails, or is gone."""

import socket
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Self

import pytest
from conftest import Serve
from helpers import assert_error, bearer, failures, wait_for
from service import TIMEOUT, Answer, Service, free_port

Behavior = Callable[[socket.socket, Event], None]
"""Sends a response on a connection whose request was read. The event is set when the test ends."""

HEAD = b"HTTP/1.1 200 OK\r\n"


class Upstream:
    """A server on a free port of 127.0.0.1, within a ``with``. It closes a connection after one response."""

    def __init__(self) -> None:
        self.behave: Behavior = lambda connection, ended: None
        self.requests: list[bytes] = []
        self._ended = Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(TIMEOUT)
            try:
                self.requests.append(connection.recv(65536))
                self.behave(connection, self._ended)
            except OSError:
                return  # the service has closed the connection


def respond(status: str, *headers: str, body: bytes = b"") -> Behavior:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return say("\r\n".join(lines).encode() + body)


def say(data: bytes) -> Behavior:
    return lambda connection, _: connection.sendall(data)


def hang(_: socket.socket, ended: Event) -> None:
    ended.wait(TIMEOUT)


def trickle(start: bytes) -> Behavior:
    """Send a beginning, then a byte now and then."""

    def behave(connection: socket.socket, ended: Event) -> None:
        connection.sendall(start)
        while not ended.wait(0.2):
            connection.sendall(b"x")

    return behave


NO_COMMENTS = respond("200 OK", body=b'{"comments": []}')


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def service(serve_all: Serve, upstream: Upstream) -> Service:
    return serve_all(COMMENTS_URL=upstream.url, WEB_CONCURRENCY="1")


@pytest.fixture(scope="module")
def comments(service: Service) -> str:
    return path_of_comments(service)


def path_of_comments(service: Service) -> str:
    headers = {"Authorization": bearer(service), "Content-Type": "application/json"}
    post = service.ask("POST", "/api/posts", '{"title": "x", "body": "x"}', headers)
    return f"{post.headers['Location']}/comments"


def assert_fails(service: Service, path: str, status: int, level: str) -> Answer:
    """Check the response and that there is one record with a traceback, in time."""
    begun = time.monotonic()
    answer = service.get(path)
    assert time.monotonic() - begun < 20
    assert_error(answer, status, "/api")
    found = [record for record in failures(service, answer.headers["X-Request-ID"]) if "exception" in record]
    assert [record["level"] for record in found] == [level]
    return answer


@pytest.mark.parametrize(
    ("behave", "status", "level", "times"),
    [
        (hang, 504, "warning", 1),
        (trickle(HEAD + b"Content-Length: 1000\r\n\r\n"), 504, "warning", 1),
        (respond("500 Internal Server Error"), 502, "warning", 1),
        (respond("302 Found", "Location: http://127.0.0.1:9/"), 502, "warning", 1),
        (respond("404 Not Found"), 502, "warning", 1),
        (respond("200 OK", "Content-Encoding: gzip", body=b"x"), 502, "warning", 1),
        (respond("200 OK", body=b"x" * 2_000_000), 502, "warning", 1),
        (respond("200 OK", body=b'{"comments": [{}]}'), 502, "warning", 1),
        (say(b""), 502, "warning", 3),
        (say(HEAD + b"Content-Length: 10\r\n\r\nhalf"), 502, "warning", 3),
    ],
    ids=["hangs", "trickles", "500", "redirect", "404", "compressed", "too large", "invalid", "closes", "cut short"],
)
def test_response_is_unusable(
    service: Service, upstream: Upstream, comments: str, behave: Behavior, status: int, level: str, times: int
) -> None:
    """A lost connection is retried. The service works again afterwards."""
    upstream.behave = behave
    upstream.requests.clear()
    assert_fails(service, comments, status, level)
    assert len(upstream.requests) == times
    upstream.behave = NO_COMMENTS
    assert service.get(comments).json == {"comments": []}


def test_upstream_service_is_overloaded(service: Service, upstream: Upstream, comments: str) -> None:
    for status in ("429 Too Many Requests", "503 Service Unavailable"):
        upstream.behave = respond(status, "Retry-After: 86400")
        assert 5 <= int(assert_fails(service, comments, 503, "warning").headers["Retry-After"]) <= 15


def test_lost_connection_is_retried_with_the_same_request_id(
    service: Service, upstream: Upstream, comments: str
) -> None:
    def behave(*_: object) -> None:
        upstream.behave = NO_COMMENTS

    upstream.behave = behave
    assert service.get(comments, X_Request_ID="retried").json == {"comments": []}
    assert all(b"retried" in request for request in upstream.requests[-2:])


def test_unreachable_upstream_service(serve: Serve) -> None:
    for url, level in ((f"http://127.0.0.1:{free_port()}", "warning"), ("http://nowhere.invalid", "error")):
        service = serve(COMMENTS_URL=url, WEB_CONCURRENCY="1")
        assert_fails(service, path_of_comments(service), 502, level)


def test_other_requests_are_served_while_the_upstream_service_hangs(
    service: Service, upstream: Upstream, comments: str
) -> None:
    upstream.behave = hang
    upstream.requests.clear()
    with service.connect() as waiting:
        waiting.sendall(f"GET {comments} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: upstream.requests)
        assert service.get("/api/posts").status == 200
