"""Malformed HTTP, which never reaches the application: gunicorn refuses it, with our page."""

import pytest

from .conftest import Serve
from .servers import wait_for
from .service import PAGE, Service, assert_error, raw, read_answer

pytestmark = pytest.mark.failure("malformed HTTP")
REFUSED = {
    "no request line": (400, b"nonsense\r\n\r\n"),
    "control character in the target": (400, b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "method in lower case": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "method too long": (400, b"A" * 30 + b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "unknown version": (400, b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 100 + b"\r\n\r\n"),
    "header without a colon": (400, raw("GET", "/", "nonsense")),
    "space before the colon": (400, raw("GET", "/", "X-A : b")),
    "folded header": (400, raw("GET", "/", "X-A: b", " c")),
    "control character in a header": (400, raw("GET", "/", "X-A: b\x00c")),
    "two hosts": (400, raw("GET", "/", "Host: evil.test")),
    "two lengths": (400, raw("POST", "/", "Content-Length: 1", "Content-Length: 2")),
    "length and chunks": (400, raw("POST", "/", "Content-Length: 1", "Transfer-Encoding: chunked")),
    "length that is no number": (400, raw("POST", "/", "Content-Length: ten")),
    "length below zero": (400, raw("POST", "/", "Content-Length: -1")),
    "line too long": (414, raw("GET", "/" + "x" * 5000)),
    "header too long": (431, raw("GET", "/", "X-A: " + "x" * 10_000)),
    "too many headers": (431, raw("GET", "/", *[f"X-{number}: x" for number in range(200)])),
    "unknown expectation": (417, raw("GET", "/", "Expect: evil")),
    "unknown coding": (501, raw("POST", "/", "Transfer-Encoding: evil")),
}


@pytest.fixture(scope="module")
def service(serve_all: Serve, worker: dict[str, str]) -> Service:
    return serve_all(**worker)


@pytest.mark.parametrize("refused", REFUSED)
def test_refusal_is_our_page_and_one_line(service: Service, refused: str) -> None:
    status, data = REFUSED[refused]
    with service.connect() as connection:
        connection.sendall(data)
        answer = read_answer(connection)
        assert connection.recv(1) == b""
    assert_error(answer, status, PAGE)
    assert answer.headers["Connection"] == "close"
    assert len(answer.headers.get_all("Content-Security-Policy") or []) == 1
    assert b"evil" not in answer.body
    assert b"gunicorn" not in answer.body
    (record,) = wait_for(lambda: service.log(answer.request_id))
    assert (record["level"], record["status"]) == ("info", status)
    assert service.get("/healthz").status == 200
    assert service.events() == []


def test_refusals_differ_in_nothing_but_the_reference(service: Service) -> None:
    first, second = (service.send(b"nonsense %d\r\n\r\n" % number) for number in range(2))
    assert first.request_id != second.request_id
    assert first.body.replace(first.request_id.encode(), second.request_id.encode()) == second.body
