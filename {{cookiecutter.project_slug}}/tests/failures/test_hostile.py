"""10,000 hostile requests: bad encodings, traversal, NUL, huge, odd methods, ranges. No 5xx, and no memory kept."""

import http.client
import os
import random
from pathlib import Path

import pytest

from .conftest import Serve, need
from .service import Service, raw
from .table import note

SEED = int(os.environ.get("HOSTILE_SEED", "0")) or random.randrange(1, 2**32)
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "A" * 30]
PATHS = ["/", "/unknown", "/blog/", "/blog/1", "/api/posts", "/api/posts/1", "/api/unknown", "/problems/", "/healthz"]
PATHS += ["/static/style.css", "/static/", "*", "http://evil.test/", "//evil.test/", "/api/openapi.json", ""]
PIECES = ["../", "%2e%2e/", "..%2f", "%00", "%ff", "%C0%AF", "%F0%9F", "\\", "//", ";", "%", "%zz", "'", "<b>", "\xff"]
PIECES += ["%0d%0aX: y", "\x7f", " ", "x" * 3000, "?q=%ff", "?cursor=%00", "?limit=-1", "?" + "a=1&" * 1000]
PIECES += ["#", "[", "{"]
HEADERS = ["Range: bytes=0-", "Range: bytes=-1", "Range: bytes=9999999-1", "Range: " + "0-1," * 1000, "If-Match: *"]
HEADERS += ["If-None-Match: \xff", "If-Modified-Since: x", "Accept: \xff", "Accept: " + "a/b," * 1000, "Cookie: \xff=x"]
HEADERS += ["Cookie: session=.eJx", "Authorization: Bearer \xff", "Authorization: Basic x", "X-Forwarded-For: \xff"]
HEADERS += ["X-Request-ID: <b>", "Content-Type: application/json; charset=evil", "Content-Type: multipart/form-data"]
HEADERS += ["Transfer-Encoding: chunked, chunked", "Content-Encoding: gzip", "Accept-Language: " + "x" * 5000]
HEADERS += ["Host: b", "Host: \xff", "Content-Length: 10", "Content-Length: -1", "Upgrade: h2c", ": x"]
HEADERS += ["Expect: 100-continue"]
BODIES = [b"", b"", b"\x00" * 100, b"[" * 50_000, b'{"title": NaN}', b"9" * 5000, b"\xff\xfe{", b"--x\r\n" * 1000]
BODIES += [b"a=%ff&" * 1000]


def requests(count: int) -> list[bytes]:
    """Of the same seed they are the same."""
    dice = random.Random(SEED)

    def request() -> bytes:
        target = dice.choice(PATHS) + "".join(dice.choices(PIECES, k=dice.randrange(3)))
        body = dice.choice(BODIES)
        headers = dice.sample(HEADERS, dice.randrange(4))
        return raw(dice.choice(METHODS), target, *headers, f"Content-Length: {len(body)}", body=body)

    return [request() for _ in range(count)]


def status(service: Service, request: bytes) -> int:
    """0 where there is no answer: of a request that ends early, or asks for none."""
    with service.connect() as connection:
        try:
            connection.sendall(request)
            connection.shutdown(1)
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0
        if response.status >= 400:
            note("client", f"{response.status // 100}xx")  # some of them are not there with every seed
        return response.status


def resident(service: Service) -> int:
    """Memory of the worker, in kilobytes."""
    (worker,) = service.workers()
    (line,) = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


@pytest.mark.failure("10,000 hostile requests")
def test_hostile_requests_are_the_clients_affair(serve: Serve) -> None:
    need(Path("/proc/self/status").exists(), "/proc is missing: run this on Linux")
    print(f"HOSTILE_SEED={SEED}")
    service = serve(RATELIMIT_WRITES="1000000/minute")
    hostile = requests(10_000)
    found = {status(service, request) for request in hostile[:2000]}
    warm = resident(service)
    for request in hostile[2000:]:
        found.add(given := status(service, request))
        assert given < 500, (SEED, request)
    assert {400, 404, 405} < found
    assert resident(service) < warm * 1.05
    assert {record["level"] for record in service.log()} == {"info"}
    assert service.events() == []
    assert service.get("/healthz").status == 200
