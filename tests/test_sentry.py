"""Sentry end to end: the running service against kent, a fake Sentry server."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Develop, Serve, user_environment
from servers import Kent, reference
from service import TIMEOUT, Service, chunk, free_port, raw
from writing import JSON_TYPE, LIMIT, refusals, token

VIEWS = """
import logging
import sys
import threading
from flask import abort, request

def new_cause(text):
    "A class of its own each time: the same one is reported once a minute."
    return type("RuntimeError", (RuntimeError,), {})(text)

def crash():
    local = request.args.get("q", "")
    request.get_data(), request.get_json(silent=True), request.form
    raise new_cause("boom")

def crash_again():
    raise RuntimeError("boom")

def handled():
    local = request.args.get("q", "")
    try:
        raise new_cause("handled")
    except RuntimeError:
        logging.getLogger("shop").exception("The shop went on.")
    return "fine"

def leave():
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    return crash()

def fail(): raise RuntimeError("left alone")

def busy(): abort(503)
def data(): return {"received": len(request.get_data())}
def imported(): return {"sentry_sdk": "sentry_sdk" in sys.modules}

for prefix in ("", "/api"):
    for view in (crash, crash_again, leave, handled, busy, data, imported):
        app.add_url_rule(f"{prefix}/{view.__name__}", f"extra{prefix}{view.__name__}", view, methods=["GET", "POST"])
"""


@pytest.fixture
def kent(sentry: Kent) -> Kent:
    """kent, having received nothing."""
    sentry.forget()
    return sentry


@pytest.fixture
def silence(tmp_path: Path) -> Iterator[Kent]:
    """A kent that nothing may reach. To the other one the service of the module says now and then how it is."""
    kent = Kent(tmp_path)
    yield kent
    kent.stop()


@pytest.fixture(scope="module")
def service(sentry: Kent, serve_all: Serve) -> Service:
    return serve_all(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=sentry.dsn, SENTRY_ENVIRONMENT="staging")


@pytest.mark.parametrize("path", ["/crash", "/api/crash"])
def test_crash_is_one_event(kent: Kent, service: Service, path: str) -> None:
    first, last = service.get(path), service.get(path)
    assert (first.status, last.status) == (500, 500)
    events = kent.events(last.headers["X-Request-ID"])
    assert [reference(event) for event in events] == [first.headers["X-Request-ID"], last.headers["X-Request-ID"]]
    (exception,) = events[0]["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "boom")
    assert exception["mechanism"]["handled"] is False
    assert events[0]["level"] == "error"
    assert events[0]["release"] == "my_service@0.1.0"
    assert events[0]["environment"] == "staging"
    assert events[0]["request"]["url"] == f"http://127.0.0.1:{service.port}{path}"


def test_crash_that_happens_again_is_no_second_event(kent: Kent, service: Service) -> None:
    first, *_ = [service.get(path).headers["X-Request-ID"] for path in ("/crash_again", "/api/crash_again") * 3]
    service.get("/crash", X_Request_ID="last")
    assert [reference(event) for event in kent.events("last")] == [first, "last"]


def test_reference_given_by_a_proxy_is_the_tag(kent: Kent, service: Service) -> None:
    assert service.get("/crash", X_Request_ID="from-the-proxy").status == 500
    (event,) = kent.events("from-the-proxy")
    assert event["tags"] == {"request_id": "from-the-proxy"}


@pytest.mark.parametrize("path", ["/handled", "/api/handled"])
def test_crash_that_a_view_handles_and_logs_is_one_event(kent: Kent, service: Service, path: str) -> None:
    answer = service.get(path)
    assert answer.body == b"fine"
    service.get("/crash", X_Request_ID="last")
    event, last = kent.events("last")
    assert reference(last) == "last"
    assert reference(event) == answer.headers["X-Request-ID"]
    assert event["logentry"]["message"] == "The shop went on."
    assert [exception["value"] for exception in event["exception"]["values"]] == ["handled"]


def test_crash_in_a_thread_is_one_event(kent: Kent, service: Service) -> None:
    assert service.get("/leave", X_Request_ID="left").status == 500
    in_thread, last = kent.events("left")
    assert reference(last) == "left"
    assert [exception["value"] for exception in in_thread["exception"]["values"]] == ["left alone"]


def test_what_is_no_crash_is_no_event(kent: Kent, service: Service) -> None:
    writer = token(service)
    asked = [
        (service.get("/unknown"), 404),
        (service.get("/api/posts/0"), 404),
        (service.ask("DELETE", "/"), 405),
        (service.ask("DELETE", "/api/posts"), 405),
        (service.ask("POST", "/api/posts", b"{", JSON_TYPE | writer), 400),
        (service.ask("POST", "/api/posts", b"[" * 200_000, JSON_TYPE | writer), 400),
        (service.ask("POST", "/api/posts", b"{}", JSON_TYPE | writer), 422),
        (service.ask("POST", "/api/posts", b"title", writer), 415),
        (service.send(raw("POST", "/", "Content-Length: 5000000")), 413),
        (service.get("/busy"), 503),
        (service.get("/api/busy"), 503),
        (service.send(raw("GET", "/", host="x" * 8000)), 400),
        (service.send(raw("POST", "/data", "Content-Length: 100", body=b"cut"), end=True), 400),
        (service.send(raw("POST", "/api/data", "Content-Length: 100", body=b"cut"), end=True), 400),
        (service.send(raw("POST", "/data", "Transfer-Encoding: chunked", body=chunk(b"cut")), end=True), 400),
        (service.send(raw("POST", "/data", "Transfer-Encoding: chunked", body=b"zz\r\n")), 400),
        (service.send(b"nonsense\r\n\r\n"), 400),
    ]
    assert [answer.status for answer, _ in asked] == [status for _, status in asked]
    for number, framing in enumerate(("Content-Length: 100", "Transfer-Encoding: chunked")):
        service.break_off("POST", "/data", framing, f"X-Request-ID: reset-{number}", body=b"3\r\ncut")
        assert service.records(f"reset-{number}")[0]["status"] == 400
    assert service.get("/crash", X_Request_ID="last").status == 500
    assert [reference(event) for event in kent.events("last")] == ["last"]


def test_write_that_is_refused_is_no_event(kent: Kent, serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=kent.dsn, RATELIMIT_WRITES=f"{LIMIT}/hour")
    expected, answers = zip(*refusals(service), strict=True)
    assert [answer.status for answer in answers] == list(expected)
    assert service.get("/crash", X_Request_ID="last").status == 500
    assert [reference(event) for event in kent.events("last")] == ["last"]


def test_untrusted_host_is_no_event(kent: Kent, serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=kent.dsn, TRUSTED_HOSTS="example.org")
    for path in ("/", "/crash", "/api/posts", "/api/crash"):
        for host in ("evil.test", "evil test", "[::1", ""):
            assert service.send(raw("GET", path, host=host)).status == 400
    assert service.send(raw("GET", "/crash", "X-Request-ID: last", host="example.org")).status == 500
    assert [reference(event) for event in kent.events("last")] == ["last"]


SECRETS = {
    "Authorization": "Bearer secret-authorization",
    "Cookie": "session=secret-cookie",
    "X-Token": "secret-header",
    "User-Agent": "secret-agent",
    "Referer": "http://example.org/secret-referrer",
    "X-Forwarded-For": "secret-address",
    "Forwarded": "for=secret-forwarded",
    "X-Real-IP": "secret-real-address",
}


@pytest.mark.parametrize("rate", ["0", "1"], ids=["errors", "errors and traces"])
def test_nothing_of_what_the_user_sent_is_sent_on(kent: Kent, serve: Serve, rate: str) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=kent.dsn, SENTRY_TRACES_SAMPLE_RATE=rate)
    sent = [
        ("POST", "/crash", b'{"password": "secret-json"}', {"Content-Type": "application/json"}),
        ("POST", "/api/crash", b"password=secret-form", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("POST", "/crash", b"secret-text", {"Content-Type": "text/plain"}),
        ("GET", "/handled", None, {}),
    ]
    for method, path, body, headers in sent:
        service.ask(method, f"{path}?q=secret-query-and-local", body, SECRETS | headers)
    assert service.stop() == 0  # having sent everything
    payloads = kent.payloads()
    kinds = [payload["header"]["type"] for payload in payloads]
    assert kinds.count("event") == len(sent)
    assert kinds.count("transaction") == (len(sent) if rate == "1" else 0)  # and none of a probe
    assert leaked(payloads) == []


@pytest.mark.parametrize("rate", ["0", "1"], ids=["errors", "errors and traces"])
def test_nothing_of_an_incoming_trace_is_sent_on(kent: Kent, serve: Serve, rate: str) -> None:
    """``baggage`` is a header like any other: anybody may write anything into it."""
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=kent.dsn, SENTRY_TRACES_SAMPLE_RATE=rate)
    headers = {
        "baggage": "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-user_id=secret-user,sentry-release=secret",
        "sentry-trace": "771a43a4192642f0b136d5159a501700-1234567890abcdef-1",
    }
    assert service.ask("GET", "/crash", headers=headers).status == 500
    assert service.stop() == 0
    assert "event" in [payload["header"]["type"] for payload in kent.payloads()]
    assert leaked(kent.payloads()) == []


def leaked(payloads: list[dict[str, Any]]) -> list[str]:
    return [word for word in json.dumps(payloads).replace("=", '"').split('"') if "secret" in word]


@pytest.mark.parametrize("settings", [{}, {"SENTRY_DSN": ""}, {"SENTRY_DSN": " "}], ids=["none", "empty", "blank"])
def test_without_a_dsn_the_sdk_is_not_even_imported(serve: Serve, settings: dict[str, str]) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", **settings)
    assert service.get("/crash").status == 500
    assert service.get("/imported").json == {"sentry_sdk": False}


def test_with_a_dsn_the_sdk_is_imported(service: Service) -> None:
    assert service.get("/imported").json == {"sentry_sdk": True}


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense",
        "http://public@127.0.0.1:many/1",
        "http://public@[::1/1",
        "http://127.0.0.1:1/1",
        "http://public@127.0.0.1:1/",
    ],
)
def test_malformed_dsn_is_one_error_line_and_the_service_serves(serve: Serve, dsn: str) -> None:
    service = serve(f"{VIEWS}\napp.logger.warning('assembled')", WEB_CONCURRENCY="3", SENTRY_DSN=dsn)
    deadline = time.monotonic() + TIMEOUT
    while service.text.count('"assembled"') < 3:
        assert time.monotonic() < deadline, service.text
        time.sleep(0.05)
    assert service.get("/").status == 200
    assert service.get("/crash", X_Request_ID="crash").status == 500
    service.records("crash")
    dsn_error, crash = [record for record in service.log() if record["level"] == "error"]
    assert dsn_error["event"].startswith("SENTRY_DSN is not usable, so nothing is reported; copy it from ")
    assert "exception" not in dsn_error
    assert crash["event"] == "Exception on /crash [GET]"


def test_unreachable_sentry_does_not_keep_the_service_from_serving_or_stopping(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=f"http://public@127.0.0.1:{free_port()}/1")
    assert service.get("/crash").status == 500
    assert service.get("/").status == 200
    assert service.stop() == 0
    assert [record["event"] for record in service.log() if record["level"] == "error"] == ["Exception on /crash [GET]"]


@pytest.mark.parametrize("command", [("flask", "run", "--debug"), ("python", "-m", "my_service")], ids=" ".join)
def test_development_sends_nothing(silence: Kent, develop: Develop, command: tuple[str, ...]) -> None:
    service = develop(*command, SENTRY_DSN=silence.dsn)
    assert b"boom, sentry_sdk imported: False" in service.get("/crash").body
    service.stop()
    assert silence.payloads() == []


def test_tests_of_the_project_send_nothing(silence: Kent, project: Path) -> None:
    ended = subprocess.run(
        [project / ".venv/bin/pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=user_environment(SENTRY_DSN=silence.dsn, PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
    )
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout
    assert silence.payloads() == []
