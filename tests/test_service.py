"""The running service: what only a real gunicorn on a socket shows."""

import http.client
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from conftest import Serve
from service import TIMEOUT, Answer, Service, chunk, raw, read_answer
from writing import JSON_TYPE as JSON_HEADERS
from writing import MANY, token
from writing import stored as posts_of

VIEWS = """
import os
import time
from flask import abort, request

received = []

def data(): return answer(request.get_data())
def form(): return answer(request.form.get("body", "").encode())
def stream(): return answer(b"".join(iter(lambda: request.stream.read(4096), b"")))

def answer(body):
    received.append(len(body))
    return {"received": len(body)}

def echo():
    return {"address": request.remote_addr, "scheme": request.scheme, "host": request.host, "root": request.root_path}

def crash(): raise RuntimeError("secret")
def busy(): abort(503)
def process(): return str(os.getpid())

def slow():
    app.logger.warning("at work")
    time.sleep(2)
    return "done"

for prefix in ("", "/api"):
    for view in (data, form, stream):
        app.add_url_rule(f"{prefix}/{view.__name__}", f"extra{prefix}{view.__name__}", view, methods=["POST"])
    for view in (echo, crash, busy, process, slow):
        app.add_url_rule(f"{prefix}/{view.__name__}", f"extra{prefix}{view.__name__}", view)
app.add_url_rule("/received", "extra-received", lambda: received)
"""

PAGE = "text/html"
PROBLEM = "application/problem+json"
POST_1 = b'{"title": "First", "body": "To be kept."}'
POST = b'{"title": "Cut", "body": "Never to be seen."}'
FORM = b"body=Never+to+be+seen."
JSON_TYPE = "Content-Type: application/json"
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
CHUNKED = "Transfer-Encoding: chunked"
LIMIT = 1024 * 1024
HUGE = 5_000_000

BROKEN = {
    "shorter than its length": ("Content-Length: 1000", lambda body: body),
    "no last chunk": (CHUNKED, chunk),
    "cut in a chunk": (CHUNKED, lambda body: chunk(body) + b"ff\r\nx"),
    "bad chunk size": (CHUNKED, lambda body: chunk(body) + b"zz\r\n"),
}
"""Incomplete or malformed bodies that contain everything that matters."""


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    """What the views received is in memory: one worker. It has a post, with the id 1."""
    service = serve_all(VIEWS, WEB_CONCURRENCY="1", RATELIMIT_WRITES=MANY)
    assert service.ask("POST", "/api/posts", POST_1, JSON_HEADERS | token(service)).json["id"] == 1
    return service


@pytest.fixture(scope="module")
def bearer(service: Service) -> str:
    """The header of somebody who may write, without whom the API does not look at a body."""
    return f"Authorization: {token(service)['Authorization']}"


@pytest.fixture
def stored(service: Service) -> Iterator[None]:
    """Nothing of what a test sends is stored, or given to a view."""
    before = posts_of(service), service.get("/received").json
    yield
    assert (posts_of(service), service.get("/received").json) == before


def form_of(path: str) -> str:
    return PROBLEM if path.startswith("/api") else PAGE


def assert_error(answer: Answer, status: int, form: str, request_id: str) -> None:
    """What every error has, whoever asked for whatever."""
    assert (answer.status, answer.media_type) == (status, form)
    assert answer.headers["X-Request-ID"] == request_id
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    policy = answer.headers.get_all("Content-Security-Policy") or []
    assert len(policy) == 1
    assert "frame-ancestors 'none'" in policy[0]
    assert "unsafe-inline" not in policy[0]
    if form == PROBLEM:
        assert (answer.json["status"], answer.json["request_id"]) == (status, request_id)
    else:
        assert f">{request_id}</code>".encode() in answer.body


def assert_quiet(service: Service, request_id: str) -> None:
    """The access line, and no other."""
    (record,) = service.records(request_id)
    assert (record["logger"], record["level"]) == ("gunicorn.access", "info")


def new_id() -> str:
    return f"test-{uuid4().hex}"


# Bodies


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("path", ["/api/posts", "/data", "/form", "/api/stream"])
@pytest.mark.usefixtures("stored")
def test_broken_body_is_400_and_no_view_sees_it(service: Service, bearer: str, path: str, broken: str) -> None:
    framing, body = BROKEN[broken]
    media_type, content = (JSON_TYPE, POST) if path == "/api/posts" else (FORM_TYPE, FORM)
    request_id = new_id()
    data = raw("POST", path, media_type, framing, bearer, f"X-Request-ID: {request_id}", body=body(content))
    assert_error(service.send(data, end=True), 400, form_of(path), request_id)
    assert_quiet(service, request_id)


@pytest.mark.parametrize("framing", ["Content-Length: 1000", CHUNKED])
@pytest.mark.parametrize("path", ["/api/posts", "/form", "/api/data"])
@pytest.mark.usefixtures("stored")
def test_reset_while_sending_the_body_is_no_error_of_ours(
    service: Service, bearer: str, path: str, framing: str
) -> None:
    media_type, content = (JSON_TYPE, POST) if path == "/api/posts" else (FORM_TYPE, FORM)
    request_id = new_id()
    body = chunk(content) if framing == CHUNKED else content
    service.break_off("POST", path, media_type, framing, bearer, f"X-Request-ID: {request_id}", body=body)
    assert_quiet(service, request_id)
    assert service.records(request_id)[0]["status"] == 400


@pytest.mark.parametrize("path", ["/data", "/api/data"])
def test_what_follows_a_broken_body_is_not_a_request(service: Service, path: str) -> None:
    body = chunk(FORM) + b"zz\r\n" + raw("GET", "/healthz")
    with service.connect() as connection:
        connection.sendall(raw("POST", path, CHUNKED, body=body))
        assert read_answer(connection).status == 400
        assert connection.recv(1) == b""


def test_whole_chunked_post_is_stored(service: Service, bearer: str) -> None:
    body = b"".join(chunk(POST[i : i + 7]) for i in range(0, len(POST), 7)) + b"0\r\n\r\n"
    before = posts_of(service)
    answer = service.send(raw("POST", "/api/posts", JSON_TYPE, CHUNKED, bearer, body=body))
    assert answer.status == 201
    assert len(posts_of(service)) == len(before) + 1
    assert service.get(answer.headers["Location"]).json == answer.json
    assert answer.json["body"] == "Never to be seen."


@pytest.mark.parametrize("path", ["/api/posts", "/form", "/api/data"])
@pytest.mark.usefixtures("stored")
def test_large_chunked_body_is_413_and_not_cut_to_the_limit(service: Service, bearer: str, path: str) -> None:
    media_type, content = (JSON_TYPE, POST) if path == "/api/posts" else (FORM_TYPE, FORM)
    request_id = new_id()
    padding = b" " * (LIMIT - len(content))
    body = chunk(content) + chunk(padding) + chunk(b" ") + b"0\r\n\r\n"
    headers = (media_type, CHUNKED, bearer, f"X-Request-ID: {request_id}")
    answer = service.send(raw("POST", path, *headers, body=body))
    assert_error(answer, 413, form_of(path), request_id)
    assert_quiet(service, request_id)


# Bodies too large by their header


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/unknown", "/api/posts", "/api/unknown"])
@pytest.mark.usefixtures("stored")
def test_large_body_is_refused_by_its_header(service: Service, path: str, method: str) -> None:
    """Below the API too it comes before the question who may write."""
    request_id = new_id()
    data = raw(method, path, JSON_TYPE, f"Content-Length: {LIMIT + 1}", f"X-Request-ID: {request_id}")
    assert_error(service.send(data), 413, form_of(path), request_id)
    assert_quiet(service, request_id)


def test_body_that_no_view_reads_does_not_disturb_the_next_request(service: Service) -> None:
    body = raw("GET", "/unknown") * 100
    with service.connect() as connection:
        connection.sendall(raw("POST", "/", f"Content-Length: {len(body)}", body=body) + raw("GET", "/api/posts/1"))
        assert read_answer(connection).status == 405
        assert read_answer(connection).json["id"] == 1


# Methods and targets


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/unknown", 404),
        ("/crash", 500),
        ("/api/posts/1", 200),
        ("/api/data", 405),
    ],
)
def test_head_is_get_without_the_body(service: Service, path: str, status: int) -> None:
    get = service.send(raw("GET", path, "X-Request-ID: same", "Connection: close"))
    with service.connect() as connection:
        connection.sendall(raw("HEAD", path, "X-Request-ID: same", "Connection: close"))
        head = read_answer(connection, "HEAD")
        assert connection.recv(1) == b""
    assert (head.status, get.status) == (status, status)
    assert without_date(head.headers) == without_date(get.headers)
    assert int(head.headers["Content-Length"]) == len(get.body)


def without_date(headers: http.client.HTTPMessage) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "Date"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", {"GET"}),
        ("/data", {"POST"}),
        ("/api/posts", {"GET", "POST"}),
        ("/api/posts/1", {"GET", "PUT", "DELETE"}),
    ],
)
def test_options_says_what_is_allowed(service: Service, path: str, allowed: set[str]) -> None:
    answer = service.ask("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    assert methods(answer) == allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())
    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", {"GET"}), ("/api/posts", {"GET", "POST"})],
)
def test_wrong_method_is_405_and_says_which_are_allowed(
    service: Service, path: str, allowed: set[str], method: str
) -> None:
    request_id = new_id()
    answer = service.ask(method, path, headers={"X-Request-ID": request_id})
    assert_error(answer, 405, form_of(path), request_id)
    assert methods(answer) == allowed | {"HEAD", "OPTIONS"}
    assert_quiet(service, request_id)


def methods(answer: Answer) -> set[str]:
    return {method.strip() for method in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("/unknown", PAGE),
        ("/blog/unknown", PAGE),
        ("/api/posts/-1", PROBLEM),
        ("/api/posts/%D9%A1%C2%B2", PROBLEM),
        ("/%61pi/unknown", PROBLEM),
        ("/api%2Funknown", PROBLEM),
        ("/api//posts", PROBLEM),
        ("//api/unknown", PROBLEM),
        ("//evil.test/..", PAGE),
        ("/static/..%2f..%2f__init__.py", PAGE),
        ("/%00", PAGE),
        ("/blog/%00x", PAGE),
        ("/api/%00", PROBLEM),
        ("/blog/%ff", PAGE),
        ("/api/%ff", PROBLEM),
        ("/%zz", PAGE),
        ("/a%0d%0aSet-Cookie:%20x=1", PAGE),
        ("/api/unknown?q=%ff&%00=%zz", PROBLEM),
        ("/api/" + "x" * 3000, PROBLEM),
        ("http://evil.test/api/unknown", PROBLEM),
    ],
    ids=lambda value: value[:40],
)
def test_odd_target_is_404_in_the_right_form(service: Service, target: str, form: str, method: str) -> None:
    if target.startswith(("/static/", "/blog/", "/problems/%")):
        method = "GET"  # there others are a 405: the rule takes any name
    request_id = new_id()
    answer = service.send(raw(method, target, f"X-Request-ID: {request_id}"))
    assert_error(answer, 404, form, request_id)
    assert "Set-Cookie" not in answer.headers
    assert_quiet(service, request_id)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (raw("GET", "/" + "x" * 5000), 414),
        (raw("GET", "/", "X-Long: " + "x" * 9000), 431),
        (raw("POST", "/api/posts", "Content-Length: 1", CHUNKED), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
def test_what_gunicorn_refuses_itself_is_no_error_in_the_log(service: Service, data: bytes, status: int) -> None:
    before = len(service.log())
    assert service.send(data).status == status
    assert "ERROR" not in {record["level"].upper() for record in service.log()[before:]}


# Signals


def test_sigterm_lets_slow_requests_finish(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1")
    with ThreadPoolExecutor(2) as clients, service.connect() as idle:
        idle.sendall(raw("GET", "/healthz"))
        assert read_answer(idle).status == 200  # and its connection is kept
        answers = [clients.submit(service.get, path) for path in ("/slow", "/api/slow")]
        wait_for_lines(service, "at work", 2)
        assert service.stop() == 0
        assert [(answer.result().status, answer.result().body) for answer in answers] == [(200, b"done")] * 2


def wait_for_lines(service: Service, event: str, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while [record["message"] for record in service.log()].count(event) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sighup_replaces_the_workers_and_nobody_notices(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1")
    before = service.get("/process").body
    service.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + TIMEOUT
    while (answer := service.get("/process")).body == before:
        assert answer.status == 200
        assert time.monotonic() < deadline
    assert answer.status == 200
    assert service.stop() == 0


# Proxies and hosts

FORWARDED = (
    "X-Forwarded-For: 198.51.100.7, 203.0.113.9",
    "X-Forwarded-Proto: http, https",
    "X-Forwarded-Host: evil.test, example.org",
    "X-Forwarded-Prefix: /evil, /mounted",
    "Forwarded: for=198.51.100.7;host=evil.test;proto=https",
    "SCRIPT_NAME: /evil",
)


def test_forwarded_headers_are_nothing_without_a_proxy(service: Service) -> None:
    request_id = new_id()
    answer = service.send(raw("GET", "/echo", *FORWARDED, f"X-Request-ID: {request_id}"))
    assert answer.json == {"address": "127.0.0.1", "scheme": "http", "host": "127.0.0.1", "root": ""}
    assert service.records(request_id)[0]["remote_addr"] == "127.0.0.1"
    assert b'href="/"' in service.send(raw("GET", "/unknown", *FORWARDED)).body


def test_one_proxy_is_believed_its_own_value(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", PROXY_HOPS="1")
    request_id = new_id()
    answer = service.send(raw("GET", "/echo", *FORWARDED, f"X-Request-ID: {request_id}"))
    assert answer.json == {"address": "203.0.113.9", "scheme": "https", "host": "example.org", "root": "/mounted"}
    assert service.records(request_id)[0]["remote_addr"] == "203.0.113.9"
    assert b'href="/mounted/"' in service.send(raw("GET", "/unknown", *FORWARDED)).body

    hostile = service.send(raw("GET", "/unknown", 'X-Forwarded-Prefix: /"><script>alert(1)</script>'))
    assert hostile.status == 404
    assert b"<script" not in hostile.body


@pytest.fixture(scope="module")
def choosy(serve_all: Serve) -> Service:
    return serve_all(WEB_CONCURRENCY="1", TRUSTED_HOSTS="example.org, .example.net")


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/api/unknown"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "www.example.org",
        "evil-example.net",
        "evil.test:80@example.org",
        "example.org/x",
        "[::1",
        "<script>",
        "",
    ],
    ids=lambda host: host[:30] or "empty",
)
def test_untrusted_or_malformed_host_is_400(choosy: Service, path: str, host: str) -> None:
    request_id = new_id()
    answer = choosy.send(raw("GET", path, f"X-Request-ID: {request_id}", host=host))
    assert_error(answer, 400, form_of(path), request_id)
    assert not host or host.encode("latin-1") not in answer.body
    assert_quiet(choosy, request_id)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probe_is_answered_whatever_its_host(choosy: Service, path: str) -> None:
    assert [choosy.send(raw("GET", path, host=host)).status for host in ("10.0.0.7:8000", "", "\xff")] == [200] * 3


def test_connection_is_kept_between_answers_of_every_kind(service: Service) -> None:
    with service.connect() as connection:
        for path, status in [("/", 200), ("/unknown", 404), ("/crash", 500), ("/api/unknown", 404), ("/busy", 503)]:
            connection.sendall(raw("GET", path))
            assert read_answer(connection).status == status
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
