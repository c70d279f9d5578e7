"""Sentry end to end: the running service against kent, a fake Sentry server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Develop, Serve
from servers import Kent, reference
from service import Service, chunk, free_port, raw
from writing import JSON_TYPE, token

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
    assert events[0]["tags"]["request_id"] == first.headers["X-Request-ID"]
    assert events[0]["release"] == "my_service@0.1.0"
    assert events[0]["environment"] == "staging"
    assert events[0]["request"]["url"] == f"http://127.0.0.1:{service.port}{path}"


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


SECRETS = {
    "Authorization": "Bearer secret-authorization",
    "Cookie": "session=secret-cookie",
    "X-Token": "secret-header",
    "User-Agent": "secret-agent",
    "Referer": "http://example.org/secret-referrer",
    "X-Forwarded-For": "secret-address",
    "Forwarded": "for=secret-forwarded",
    "baggage": "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-user_id=secret-user,sentry-release=secret",
    "sentry-trace": "771a43a4192642f0b136d5159a501700-1234567890abcdef-1",
}


def test_nothing_of_what_the_user_sent_is_sent_on(kent: Kent, serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=kent.dsn)
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
    assert [payload["header"]["type"] for payload in payloads].count("event") >= 2
    assert leaked(payloads) == []


def leaked(payloads: list[dict[str, Any]]) -> list[str]:
    return [word for word in json.dumps(payloads).replace("=", '"').split('"') if "secret" in word]


def test_without_a_dsn_the_sdk_is_not_even_imported(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=" ")
    assert service.get("/crash").status == 500
    assert service.get("/imported").json == {"sentry_sdk": False}


def test_unreachable_sentry_does_not_keep_the_service_from_serving_or_stopping(serve: Serve) -> None:
    service = serve(VIEWS, WEB_CONCURRENCY="1", SENTRY_DSN=f"http://public@127.0.0.1:{free_port()}/1")
    assert service.get("/crash").status == 500
    assert service.get("/").status == 200
    assert service.stop() == 0
    assert [record["message"] for record in service.log() if record["level"] == "error"] == [
        "Exception on /crash [GET]"
    ]


def test_development_sends_nothing(silence: Kent, develop: Develop) -> None:
    service = develop("flask", "run", "--debug", SENTRY_DSN=silence.dsn)
    assert b"boom" in service.get("/crash").body
    service.stop()
    assert silence.payloads() == []
