"""Helpers of the failure tests: views that fail, and what every error response and log has."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from service import TIMEOUT, Answer, Service

T = TypeVar("T")

PAGE, PROBLEM = "text/html", "application/problem+json"
FORMS = {"": PAGE, "/api": PROBLEM}
"""URL prefix to the form of its errors. The decorator ``both`` adds a view below each."""

VIEWS = """
import os
import time

from flask import Response, abort, g, request

def both(view, **options):
    for prefix in ("", "/api"):
        app.add_url_rule(f"{prefix}/{view.__name__}", f"failures{prefix}{view.__name__}", view, **options)
    return view

@both
def healthy(): return "well"

@both
def slow():
    time.sleep(float(request.args.get("seconds", 0)))
    return "done"
"""


def wait_for(condition: Callable[[], T], seconds: float = TIMEOUT) -> T:
    """Return the first true result of a function.

    :raises TimeoutError: if there is none in time.
    """
    expires_at = time.monotonic() + seconds
    while time.monotonic() < expires_at:
        if result := condition():
            return result
        time.sleep(0.05)
    raise TimeoutError


def assert_error(answer: Answer, status: int, prefix: str) -> None:
    """Check the parts that every error response has."""
    assert (answer.status, answer.media_type) == (status, FORMS[prefix]), answer
    request_id = answer.headers["X-Request-ID"]
    assert request_id
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    if prefix:
        assert (answer.json["status"], answer.json["request_id"]) == (status, request_id)
    else:
        assert f">{request_id}</code>".encode() in answer.body
    assert b"secret" not in answer.body
    assert (status == 503) <= ("Retry-After" in answer.headers)


def failures(service: Service, request_id: str) -> list[dict[str, Any]]:
    """Return the log records of a request except its access line."""
    return [record for record in service.records(request_id) if record["logger"] != "gunicorn.access"]


def assert_fails(service: Service, path: str, status: int, level: str, cause: str = "", method: str = "GET") -> None:
    """Check the page, the problem, and the one log record of each."""
    for prefix in FORMS:
        answer = service.ask(method, prefix + path)
        assert_error(answer, status, prefix)
        found = [record for record in failures(service, answer.headers["X-Request-ID"]) if "exception" in record]
        assert [record["level"] for record in found] == [level], found
        assert cause in found[0]["exception"]


def levels(service: Service) -> set[str]:
    return {record["level"] for record in service.log()}


def workers(service: Service) -> list[int]:
    """Return the process IDs of the workers, in the order of their start."""
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def bearer(service: Service) -> str:
    return f"Bearer {service.flask('tokens', 'create', 'me').strip()}"
