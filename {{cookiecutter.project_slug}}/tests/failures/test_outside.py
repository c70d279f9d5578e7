"""What fails outside the reach of Flask's error handlers: teardown, after_request, handlers, headers, streams."""

import http.client
from typing import Any

import pytest

from .conftest import Serve
from .servers import wait_for
from .service import FORMS, Service, assert_error, new_id, raw, read_answer

pytestmark = pytest.mark.failure("a hook, an error handler or a stream fails")
VIEWS = """
import io
import sys
from flask import Response, abort, current_app, g, request, send_file
from werkzeug.wsgi import wrap_file

def fails(where):
    if request.path.endswith(where):
        raise RuntimeError("secret")

@app.teardown_request
def teardown(error):
    if request.method == "HEAD" and request.path == "/teardown":
        raise LookupError("secret")
    fails("teardown")

@app.teardown_appcontext
def appcontext(error):
    if g.get("broken"):
        raise RuntimeError("secret")

@app.after_request
def after(response):
    fails("after_request")
    return response

@app.before_request
def before():
    fails("before_request")

@app.errorhandler(418)
def handler(error):
    raise RuntimeError("secret")

@both
def healthy(): return "well"

@both
def context():
    g.broken = True
    return "done"

def done(): return "done"
for name in ("teardown", "after_request", "before_request"):
    done.__name__ = name
    both(done)

@both
def handled(): abort(418)

@both
def leave(): sys.exit(3)

@both
def panic(): raise BaseException("secret")

@both
def name(): return Response("done", headers={"X Price": "1"})

@both
def unreadable():
    class Broken(io.BytesIO):
        def read(self, size=-1): raise OSError(5, "secret")
    return send_file(Broken(), "text/plain")

@both
def header():
    price = "1 \\x00 2" if request.path.startswith("/api") else "1 \\N{EURO SIGN}"
    return Response("done", headers={"X-Price": price})

@both
def early():
    def parts():
        raise RuntimeError("secret")
        yield
    return Response(parts())

@both
def nothing():
    return Response(iter([]))

def parts(error):
    yield "x" * 1000
    raise error

@both
def late(): return Response(parts(RuntimeError("secret")))

@both
def sized(): return Response(parts(LookupError("secret")), headers={"Content-Length": "5000"})

@both
def backend(): return Response(parts(OSError(104, "secret")))  # what gunicorn takes for a client that has gone

@both
def stop(): return Response(parts(SystemExit(3)))

class Truncated(io.BytesIO):
    def read(self, size=-1):
        data = super().read(size)
        self.truncate(0)
        return data

@both
def short():
    file = wrap_file(request.environ, Truncated(bytes(100_000)))
    return Response(file if "api" in request.path else iter(["x" * 1000]), headers={"Content-Length": "100000"})

@both
def none(): return Response(iter([b"x" * 1000, None]), direct_passthrough=True)

@both
def logged():
    try:
        raise TimeoutError("of what a view has caught")
    except OSError as error:
        current_app.logger.exception(error)
    return "well"

@both
def closing():
    response = Response("whole")
    response.call_on_close(lambda: 1 / 0)
    return response
"""
BEFORE_THE_ANSWER = [
    "teardown",
    "context",
    "after_request",
    "before_request",
    "handled",
    "leave",
    "panic",
    "header",
    "unreadable",
    "early",
]
AMID_THE_ANSWER = ["late", "sized", "backend", "stop", "short", "none"]


@pytest.fixture(scope="module")
def service(serve_all: Serve, worker: dict[str, str]) -> Service:
    return serve_all(VIEWS, **worker)


def assert_told_once(service: Service, page_id: str, problem_id: str) -> None:
    """One record of each request, one event for both in a minute; the next request is served, by the same worker."""
    for request_id in (page_id, problem_id):
        (record,) = wait_for(lambda: failures(service, request_id))  # noqa: B023
        assert record["level"] == "error"
        assert "Traceback" in record["exception"]
    assert len(service.events(page_id) + service.events(problem_id)) == 1
    assert all(event["tags"]["request_id"] for event in service.events())
    assert service.get("/healthy").body == b"well"
    assert [len(failures(service, request_id)) for request_id in (page_id, problem_id)] == [1, 1]
    assert all(record.get("request_id") for record in service.log() if record["level"] != "info")
    assert sum("Booting worker" in record["event"] for record in service.log()) == 1


def failures(service: Service, request_id: str) -> list[dict[str, Any]]:
    return [record for record in service.log(request_id) if record["logger"] != "gunicorn.access"]


@pytest.mark.parametrize("place", BEFORE_THE_ANSWER)
def test_failure_before_the_answer_is_a_clean_500(service: Service, place: str) -> None:
    ids = {path: new_id() for path in FORMS}
    for path, form in FORMS.items():
        answer = service.get(f"{path}/{place}", X_Request_ID=ids[path])
        assert_error(answer, 500, form)
        assert answer.request_id == ids[path]
        assert b"secret" not in answer.body
        assert answer.headers.get_all("Content-Length") == [str(len(answer.body))]
        assert "X-Price" not in answer.headers
    assert_told_once(service, *ids.values())


@pytest.mark.parametrize("place", AMID_THE_ANSWER)
def test_failed_stream_never_looks_complete(service: Service, place: str) -> None:
    """Without chunks, as in HTTP/1.0 and of some proxies, the end of the connection would be the end of the answer."""
    page_id, problem_id = new_id(), new_id()
    for path, version, request_id in zip(FORMS, ["1.1", "1.0"], [page_id, problem_id], strict=True):
        request = raw("GET", f"{path}/{place}", f"X-Request-ID: {request_id}")
        with service.connect() as connection:
            connection.sendall(request.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1))
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                read_answer(connection)
    assert_told_once(service, page_id, problem_id)


def test_failure_after_a_whole_answer_is_told_and_spares_it(service: Service) -> None:
    ids = {path: new_id() for path in FORMS}
    for path in FORMS:
        answer = service.get(f"{path}/closing", X_Request_ID=ids[path])
        assert (answer.status, answer.body) == (200, b"whole")
    assert_told_once(service, *ids.values())


@pytest.mark.parametrize("path", FORMS)
def test_header_that_gunicorn_refuses_is_a_clean_500(serve: Serve, worker: dict[str, str], path: str) -> None:
    """It comes too late for one event: the SDK reports it too."""
    service = serve(VIEWS, **worker)
    answer = service.get(f"{path}/name", X_Request_ID=(request_id := new_id()))
    assert_error(answer, 500, FORMS[path])
    assert answer.request_id == request_id
    (record,) = wait_for(lambda: failures(service, request_id))
    assert record["level"] == "error"


def test_what_a_view_logs_itself_stays_an_error(service: Service) -> None:
    answer = service.get("/logged")
    assert answer.status == 200
    (record,) = wait_for(lambda: failures(service, answer.request_id))
    assert (record["level"], record["event"]) == ("error", "of what a view has caught")


def test_failure_of_a_head_request_has_no_body(service: Service) -> None:
    answer = service.ask("HEAD", "/teardown")
    assert (answer.status, answer.body) == (500, b"")
    assert [record["level"] for record in failures(service, answer.request_id)] == ["error"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("place", ["healthy", "nothing", "static/style.css"])
def test_answers_without_a_failure_are_whole(service: Service, place: str, method: str) -> None:
    answer = service.ask(method, f"/{place}")
    assert answer.status == 200
    assert bool(answer.body) is (method == "GET" and place != "nothing")
