"""What the processes write: JSON lines in production, text for people in development, one record for each crash."""

import json
import time

import pytest
from conftest import Develop, Serve
from service import TIMEOUT, Service, raw

VIEWS = """
import logging
import threading
import warnings
from flask import abort

def crash(): raise RuntimeError("boom\\nwith a {\\"second\\": \\"line\\"}")
def full(): open("/dev/full", "w").write("x" * 10_000)
def busy(): abort(503, "Back at noon.")

def speak():
    logging.getLogger("shop").info("standard %s", "library", extra={"article": 7})
    return "said"

def warn():
    warnings.warn("old-fashioned")
    return "warned"

def leave():
    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    return "left"

def fail(): raise RuntimeError("left alone")
app.add_url_rule("/leave", view_func=leave)

for prefix in ("", "/api"):
    for view in (crash, full, busy, speak, warn):
        app.add_url_rule(f"{prefix}/{view.__name__}", f"extra{prefix}{view.__name__}", view)
"""

HOSTILE_AGENTS = [
    'quote " and backslash \\',
    "%s %(message)s %d %",
    '"}{"level":"error","event":"forged"}',
    "caf\xc3\xa9 \xff\xfe",
    "a\tb",
    "x" * 8000,
]
HOSTILE_PATHS = [
    "/a%0a%7B%22level%22:%22error%22%7D",
    "/a%0d%0ab",
    "/%25s%25(message)s",
    "/%s%(message)s",
    "/%00",
    "/%C2%85%E2%80%A8",
    "/%ff",
]


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    return serve_all(VIEWS, WEB_CONCURRENCY="1")


def test_every_line_of_production_is_json(serve: Serve) -> None:
    """Those of the master, the worker, the access log, the application and its libraries; from start to end."""
    service = serve(VIEWS)
    for path in ("/", "/unknown", "/crash", "/api/crash", "/speak", "/warn"):
        service.get(path)
    assert service.send(b"nonsense\r\n\r\n").status == 400
    assert service.stop() == 0
    records = [json.loads(line) for line in service.errors.read_text().splitlines()]
    events = {record["message"] for record in records}
    assert {"GET / 200", "Exception on /crash [GET]", "standard library"} < events
    assert any(event.startswith("Listening at: ") for event in events)
    assert any(event.startswith("Booting worker ") for event in events)
    assert any(event.startswith("Worker exiting ") for event in events)
    assert any("old-fashioned" in event for event in events)
    for record in records:
        assert {"message", "level", "logger", "timestamp"} <= record.keys()
        assert record["level"] in ("INFO", "WARNING", "ERROR")


def test_crash_in_a_thread_is_one_json_record(service: Service) -> None:
    service.get("/leave", X_Request_ID="leave")
    service.records("leave")
    (record,) = [record for record in service.log() if record["message"] == "Exception in thread worker"]
    assert record["level"] == "error"
    assert "RuntimeError: left alone" in record["exception"]


def test_access_line_says_who_asked_for_what(service: Service) -> None:
    answer = service.get("/unknown?token=secret", User_Agent="tests", X_Request_ID="access")
    (record,) = service.records("access")
    assert isinstance(record.pop("duration_ms"), int)
    assert record.pop("timestamp").endswith("+00:00")
    assert record == {
        "message": "GET /unknown 404",
        "level": "info",
        "logger": "gunicorn.access",
        "method": "GET",
        "path": "/unknown",
        "status": 404,
        "bytes": len(answer.body),
        "remote_addr": "127.0.0.1",
        "user_agent": "tests",
        "request_id": "access",
    }


@pytest.mark.parametrize("agent", HOSTILE_AGENTS, ids=lambda agent: repr(agent[:30]))
def test_hostile_user_agent_stays_in_its_field(service: Service, agent: str) -> None:
    (record,) = asked(service, raw("GET", "/unknown", f"User-Agent: {agent}"))
    assert record["user_agent"] == agent
    assert (record["message"], record["level"], record["status"]) == ("GET /unknown 404", "info", 404)


@pytest.mark.parametrize("target", HOSTILE_PATHS)
def test_hostile_path_stays_in_its_field(service: Service, target: str) -> None:
    (record,) = asked(service, raw("GET", target))
    assert record["path"] == target
    assert (record["level"], record["status"]) == ("info", 404)


ids = map("hostile-{}".format, range(1_000_000))


def asked(service: Service, data: bytes) -> list[dict[str, object]]:
    """What is logged for a request."""
    request_id = next(ids)
    service.send(data.replace(b"\r\n", f"\r\nX-Request-ID: {request_id}\r\n".encode(), 1))
    return service.records(request_id)


def test_crash_is_one_record(service: Service) -> None:
    full = "OSError: [Errno 28] No space left on device"
    assert_crash(service, "/crash", 500, "error", "RuntimeError: boom")
    assert_crash(service, "/api/crash", 500, "error", "RuntimeError: boom")
    assert_crash(service, "/full", 507, "critical", full)


def assert_crash(service: Service, path: str, status: int, level: str, error: str) -> None:
    answer = service.get(path)
    assert answer.status == status
    crash, access = service.records(answer.headers["X-Request-ID"])
    assert (access["message"], access["level"]) == (f"GET {path} {status}", "info")
    assert (crash["message"], crash["level"], crash["logger"]) == (f"Exception on {path} [GET]", level, "my_service")
    assert crash["exception"].startswith("Traceback (most recent call last):\n")
    assert f"\n{error}" in crash["exception"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/unknown", 404),
        ("DELETE", "/", 405),
        ("POST", "/api/posts", 401),
        ("GET", "/busy", 503),
    ],
)
def test_error_that_is_no_crash_is_its_access_line(service: Service, method: str, path: str, status: int) -> None:
    answer = service.ask(method, path)
    assert answer.status == status
    (record,) = service.records(answer.headers["X-Request-ID"])
    assert (record["message"], record["level"]) == (f"{method} {path} {status}", "info")


def test_records_of_the_application_have_the_request_id(service: Service) -> None:
    service.get("/speak", X_Request_ID="spoken")
    standard, _ = service.records("spoken")
    assert (standard["message"], standard["article"], standard["level"]) == ("standard library", 7, "info")
    assert standard["logger"] == "shop"


def line_of(service: Service, part: str) -> str:
    """The one line that has this in it, once it is written."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := [line for line in service.text.split("\n") if part in line]):
        assert time.monotonic() < deadline, service.text
        time.sleep(0.02)
    (line,) = found
    return line


@pytest.mark.parametrize("command", [("flask", "run", "--debug"), ("python", "-m", "my_service")], ids=" ".join)
def test_development_logs_lines_of_text_and_a_crash_once(develop: Develop, command: tuple[str, ...]) -> None:
    service = develop(*command)
    for path, status in (("/unknown", 404), ("/api/unknown", 404)):
        assert service.get(path).status == status
        assert not line_of(service, f"GET {path} HTTP/1.1").startswith("{")

    assert service.get("/crash").status == 500
    line_of(service, "GET /crash HTTP/1.1")
    line_of(service, "RuntimeError: boom")
    line_of(service, "Traceback (most recent call last)")
