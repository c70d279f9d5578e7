"""Another system fails: it is overloaded, hangs, sends a byte a second, cannot be reached or be trusted."""

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from .conftest import Serve, need
from .servers import TIMEOUT, free_port, wait_for
from .service import FORMS, Answer, Service, assert_error, new_id, reset
from .upstreams import Behaviour, Upstream, answer, hang, say, trickle

VIEWS = """
from flask import request
from {{ cookiecutter.__package }} import upstream


def ask():
    return upstream.call(request.method, "thing").text


both(ask, methods=["GET", "POST"])
"""
HEAD = b"HTTP/1.1 200 OK\r\n"

slow_row = pytest.mark.failure("another system is overloaded or slow")
unreachable_row = pytest.mark.failure("another system cannot be reached, or not be trusted")


@pytest.fixture(scope="module")
def other() -> Iterator[Upstream]:
    """The other system. A test says how it behaves."""
    with Upstream(hang) as other:
        yield other


@pytest.fixture(scope="module")
def service(serve_all: Serve, other: Upstream) -> Service:
    return serve_all(VIEWS, **settings(other))


@pytest.fixture
def new_service(serve: Serve, other: Upstream) -> Service:
    """It has met no cause yet, so that a warning is one."""
    return serve(VIEWS, **settings(other))


def settings(other: Upstream) -> dict[str, str]:
    return {"UPSTREAM_URL": f"http://{other.address}/v1", "UPSTREAM_TIMEOUT": "2"}


def assert_fails(service: Service, status: int, level: str = "", method: str = "GET") -> Answer:
    """As a page and as a problem, in time, with one record each. The service goes on.

    :param level: of the record. A shared service may have met the cause for so long that a warning is an error.
    """
    for path, form in FORMS.items():
        begun = time.monotonic()
        failed = service.ask(method, f"{path}/ask")
        assert time.monotonic() - begun < TIMEOUT / 2
        assert_error(failed, status, form)
        [record] = [record for record in service.records(failed.request_id) if "retry" not in record["event"]]
        assert level in ("", record["level"])
        assert service.get("/healthz").status == 200
    return failed


def assert_serves(service: Service, other: Upstream) -> None:
    other.behave = answer("200 OK", body=b"a thing")
    assert service.get("/ask").body == b"a thing"


@slow_row
@pytest.mark.parametrize(
    ("seconds", "passed_on"),
    [("7", "7"), ("86400", "60"), (formatdate(time.time() + 3600, usegmt=True), "60")],
    ids=["seconds", "too many", "date"],
)
def test_overloaded_one_says_when_to_come_back(
    new_service: Service, other: Upstream, seconds: str, passed_on: str
) -> None:
    other.behave = answer("503 Service Unavailable", f"Retry-After: {seconds}")
    other.requests.clear()
    assert assert_fails(new_service, 503, "warning").headers["Retry-After"] == passed_on
    assert len(other.requests) == len(FORMS)
    assert_serves(new_service, other)


@slow_row
@pytest.mark.parametrize(
    "behave",
    [
        hang,
        trickle(b"", b"x"),
        trickle(HEAD, b"x"),
        trickle(HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
        trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0),
    ],
    ids=["hangs", "status line", "headers", "body", "interim answers without end"],
)
def test_slow_one_is_given_up_and_not_asked_again(new_service: Service, other: Upstream, behave: Behaviour) -> None:
    other.behave = behave
    other.requests.clear()
    assert_fails(new_service, 504, "warning")
    assert len(other.requests) == len(FORMS)
    assert_serves(new_service, other)


@pytest.mark.parametrize(
    "behave",
    [
        answer("500 Internal Server Error"),
        answer("503 Service Unavailable"),
        answer("302 Found", "Location: http://127.0.0.1:9/"),
        answer("200 OK", "Content-Encoding: gzip", body=b"x"),
        trickle(HEAD + b"\r\n", bytes(65536), pause=0),
        say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ],
    ids=["fails", "overloaded for it does not say how long", "redirects", "compresses", "never ends", "not HTTP"],
)
def test_answer_that_is_of_no_use(service: Service, other: Upstream, behave: Behaviour) -> None:
    other.behave = behave
    assert_fails(service, 502)
    assert_serves(service, other)


@pytest.mark.parametrize(("method", "times"), [("GET", 3), ("POST", 1)])
@pytest.mark.parametrize(
    "behave",
    [lambda connection, _: reset(connection), say(), say(HEAD), say(HEAD + b"Content-Length: 10\r\n\r\nhalf")],
    ids=["reset", "closed", "in the headers", "in the body"],
)
def test_connection_lost_is_tried_again_only_where_that_is_safe(
    service: Service, other: Upstream, behave: Behaviour, method: str, times: int
) -> None:
    other.behave = behave
    other.requests.clear()
    assert_fails(service, 502, method=method)
    assert len(other.requests) == times * len(FORMS)
    assert_serves(service, other)


def test_lost_connection_is_not_noticed_where_the_next_one_holds(service: Service, other: Upstream) -> None:
    def behave(connection: socket.socket, _: object) -> None:
        other.behave = answer("200 OK", body=b"a thing")
        reset(connection)

    other.behave = behave
    reference = new_id()
    assert service.get("/ask", X_Request_ID=reference).body == b"a thing"
    assert f"X-Request-ID: {reference}\r\n".encode() in other.requests[-1]


def test_client_error_of_ours_is_a_bug(service: Service, other: Upstream) -> None:
    other.behave = answer("404 Not Found")
    assert_fails(service, 500, "error")


@unreachable_row
def test_refused(serve: Serve) -> None:
    service = serve(VIEWS, UPSTREAM_URL=f"http://127.0.0.1:{free_port()}")
    for method in ("GET", "POST"):
        assert_fails(service, 502, "warning", method)


@unreachable_row
def test_unknown_name(serve: Serve) -> None:
    assert_fails(serve(VIEWS, UPSTREAM_URL="http://nowhere.invalid"), 502, "error")


@contextmanager
def full_backlog() -> Iterator[str]:
    """The address of a server that accepts nobody, whose queue is full: to connect takes forever."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@unreachable_row
def test_full_listen_backlog(serve: Serve) -> None:
    with full_backlog() as address:
        assert_fails(serve(VIEWS, UPSTREAM_URL=f"http://{address}", UPSTREAM_TIMEOUT="2"), 504, "warning")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key in the same file."""
    need(shutil.which("openssl"), "openssl is missing, which makes a certificate")
    made = tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", str(made)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    made.write_bytes(made.read_bytes() + done.stdout)
    return made


@unreachable_row
def test_certificate_that_is_not_to_be_trusted(serve: Serve, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    said = answer("200 OK", body=b"a thing")
    with Upstream(said, lambda plain: context.wrap_socket(plain, server_side=True)) as other:
        url = f"https://{other.address}"
        assert_fails(serve(VIEWS, UPSTREAM_URL=url), 502, "error")
        assert other.requests == []
        assert serve(VIEWS, UPSTREAM_URL=url, SSL_CERT_FILE=str(certificate)).get("/ask").body == b"a thing"


def test_nobody_holds_a_connection_to_the_database_while_waiting(serve: Serve) -> None:
    """The example of the API: while it waits, everything else is served."""
    with Upstream(hang) as other:
        settings = {"UPSTREAM_URL": f"http://{other.address}", "DATABASE_POOL_SIZE": "1"}
        service = serve(VIEWS, **settings)
        token = service.flask("tokens", "create", "me").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        post = service.ask("POST", "/api/posts", json.dumps({"title": "News", "body": "x"}), headers)
        comments = f"{post.headers['Location']}/comments"
        with service.connect() as waiting:
            waiting.sendall(f"GET {comments} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_for(lambda: other.requests, "the call")
            assert service.get("/api/posts").status == 200
        other.behave = answer("200 OK", body=b'{"comments": []}')
        assert service.get(comments).json == {"comments": []}
