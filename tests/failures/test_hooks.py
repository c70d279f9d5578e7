"""Failures outside of views: hooks, error handlers, headers, streams; and a bug in a library."""

import http.client

import pytest
from conftest import Serve
from helpers import FORMS, VIEWS, assert_error, assert_fails, failures, wait_for
from servers import Kent
from service import TIMEOUT, Service, raw

FAILING = """
import io
import sys
from flask import send_file

def fail(place):
    if request.path.endswith(place):
        raise RuntimeError("secret")

@app.teardown_request
def teardown(error): fail("/teardown")

@app.after_request
def after(response):
    fail("/after_request")
    return response

@app.before_request
def before(): fail("/before_request")

@app.errorhandler(418)
def handler(error): raise RuntimeError("secret")

for name in ("teardown", "after_request", "before_request"):
    view = lambda: "done"
    view.__name__ = name
    both(view)

@both
def handled(): abort(418)

@both
def header(): return Response("done", headers={"X-Price": "1 \\N{EURO SIGN}"})

@both
def unreadable():
    class Broken(io.BytesIO):
        def read(self, size=-1): raise OSError(5, "secret")
    return send_file(Broken(), "text/plain")

@both
def early():
    def parts():
        raise RuntimeError("secret")
        yield
    return Response(parts())

@both
def empty(): return Response(iter([]))

def parts(error):
    yield "x" * 1000
    raise error

@both
def late(): return Response(parts(RuntimeError("secret")))

@both
def sized(): return Response(parts(LookupError("secret")), headers={"Content-Length": "5000"})

@both
def closing():
    response = Response("whole")
    response.call_on_close(lambda: 1 / 0)
    return response

@both
def library():
    from sqlalchemy import make_url
    return str(make_url("secret: no URL"))

@both
def full():
    with open("/dev/full", "w") as disk:
        disk.write("one byte too many")
"""
BEFORE = ["teardown", "after_request", "before_request", "handled", "header", "unreadable", "early"]


@pytest.fixture(scope="module")
def service(serve_all: Serve, sentry: Kent) -> Service:
    return serve_all(VIEWS + FAILING, WEB_CONCURRENCY="1", SENTRY_DSN=sentry.dsn)


@pytest.mark.parametrize("place", BEFORE)
def test_exception_before_the_response_is_a_500(service: Service, place: str) -> None:
    """It is logged with its traceback and the request ID, and the next request is served."""
    for prefix in FORMS:
        answer = service.get(f"{prefix}/{place}")
        assert_error(answer, 500, prefix)
        assert "X-Price" not in answer.headers
        record, *_ = failures(service, answer.headers["X-Request-ID"])  # an after_request function runs twice
        assert record["level"] in ("error", "critical")  # critical: the disk fails
        assert "Traceback" in record["exception"]
        assert service.get("/healthy").body == b"well"
    assert service.ask("HEAD", f"/{place}").body == b""


@pytest.mark.parametrize("place", ["late", "sized"])
@pytest.mark.parametrize("prefix", FORMS)
def test_response_of_a_failed_stream_is_incomplete(service: Service, prefix: str, place: str) -> None:
    request_id = f"stream{prefix.replace('/', '-')}-{place}"
    with service.connect() as connection:
        connection.settimeout(TIMEOUT)
        connection.sendall(raw("GET", f"{prefix}/{place}", f"X-Request-ID: {request_id}"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
            response.read()
    wait_for(lambda: "Traceback" in service.text and request_id in service.text)
    assert service.get("/healthy").body == b"well"


def test_exception_after_the_response_is_logged(service: Service) -> None:
    answer = service.get("/closing")
    assert (answer.status, answer.body) == (200, b"whole")
    wait_for(lambda: "ZeroDivisionError" in service.text)
    assert service.get("/healthy").body == b"well"
    assert service.get("/empty").body == b""


def test_bug_in_a_library_is_one_error_and_one_event(service: Service, sentry: Kent) -> None:
    sentry.forget()
    answer = service.get("/library")
    assert_error(answer, 500, "")
    request_id = answer.headers["X-Request-ID"]
    [record] = failures(service, request_id)
    assert (record["level"], record["message"]) == ("error", "Exception on /library [GET]")
    assert "sqlalchemy.exc.ArgumentError: " in record["exception"]
    [event] = sentry.events(request_id)
    assert event["level"] == "error"
    [exception] = event["exception"]["values"]
    assert exception["stacktrace"]["frames"][-1]["module"].startswith("sqlalchemy.")


def test_full_disk_of_a_view_is_507(service: Service) -> None:
    assert_fails(service, "/full", 507, "critical", "No space left on device")
