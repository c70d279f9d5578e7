"""A service on a database with faults, and checks of its responses, log records and Sentry events."""

import json
import secrets
from typing import Any

from conftest import Serve
from servers import Kent, reference
from service import Answer, Service

PRECIOUS = "precious"
"""Part of every statement and every value. It must never be in a response, the log or Sentry."""

VIEWS = """
import threading
import time
from flask import g, request
from my_service.core.database import db, transaction
from sqlalchemy import text

held = []
meeting = threading.Barrier(2)

def execute(sql, **values):
    db.session.execute(text(sql), values)

def run():
    for sql in request.headers["SQL"].split("; "):
        time.sleep(float(request.headers.get("Pause", 0)))
        execute(sql, **({"value": request.headers["Value"]} if ":value" in sql else {}))
    return "done"

def lose():
    pid = db.session.scalar(text("SELECT pg_backend_pid()"))
    with db.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    return "done"

@transaction
def conflict():
    "Another transaction changes the row that was read, in as many runs as the header says."
    g.runs = g.get("runs", 0) + 1
    execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    execute("SELECT version FROM posts WHERE id = 1")
    if g.runs <= int(request.headers["Conflicts"]):
        with db.engine.begin() as other:
            other.execute(text("UPDATE posts SET version = version + 1 WHERE id = 1"))
    execute("UPDATE posts SET title = :value WHERE id = 1", value=request.headers["Value"])
    return str(g.runs)

@transaction
def deadlock():
    "Two requests lock the same two rows in opposite order."
    g.runs = g.get("runs", 0) + 1
    first, second = request.headers["Rows"].split()
    execute("UPDATE posts SET title = :value WHERE id = :id", value=request.headers["Value"], id=first)
    if g.runs == 1:
        meeting.wait(30)
    execute("UPDATE posts SET title = :value WHERE id = :id", value=request.headers["Value"], id=second)
    return str(g.runs)

def mark():
    raise type("Mark", (Exception,), {})  # a new class each time: the same one is reported once a minute

def hold():
    held.append(db.engine.connect())
    return "done"

def release():
    while held:
        held.pop().close()
    return str(db.engine.pool.checkedout())

for prefix in ("", "/api"):
    for view in (run, lose, conflict, deadlock, mark, hold, release):
        url = f"{prefix}/{view.__name__}"
        app.add_url_rule(url, f"read {url}", view, methods=["GET"])
        app.add_url_rule(url, f"write {url}", transaction(view), methods=["POST"])
"""

SETTINGS = {
    "WEB_CONCURRENCY": "1",
    "RATELIMIT_WRITES": "10000/minute",
    "LOG_LEVEL": "DEBUG",
}
READS = ("/blog/", "/api/posts")
"""A page and an API endpoint, as in every pair of paths."""
RUN = ("/run", "/api/run")
LEVELS = {
    409: {"info"},
    500: {"critical", "error"},  # critical: the disk fails
    503: {"warning"},
    507: {"critical"},
}
INSERT = "INSERT INTO posts (slug, title, body, published, version) VALUES ({}, :value, {}, '2025-01-01', 1)"
UPDATE = "UPDATE posts SET title = :value WHERE body = 'precious'"


class Store:
    """The service on a database, and its Sentry server."""

    def __init__(self, serve: Serve, kent: Kent, url: str) -> None:
        self.service: Service = serve(VIEWS, SENTRY_DSN=kent.dsn, DATABASE_URL=url, **SETTINGS)
        self.kent = kent
        self.url = url
        self.authorization = ""
        self.forget()

    def forget(self) -> None:
        """Ignore the log records and events so far."""
        self.kent.forget()
        self._seen = len(self.service.log())

    def fill(self) -> "Store":
        """Create a token and the posts 1 and 2."""
        self.authorization = "Bearer " + self.service.flask("tokens", "create", "me").strip()
        assert [self.publish().status for _ in range(2)] == [201, 201]
        return self

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return self.service.ask(method, path, headers={"Value": PRECIOUS, **headers})

    def publish(self, slug: str | None = None) -> Answer:
        """Create a post with the API."""
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        post = {"title": PRECIOUS, "body": PRECIOUS, "slug": slug or secrets.token_hex(8)}
        return self.service.ask("POST", "/api/posts", json.dumps(post), headers)

    def records(self, last: Answer) -> list[dict[str, Any]]:
        """Return the warnings, errors and unhandled exceptions logged since the last call.

        :param last: the response of a request whose log line to wait for.
        """
        self.service.records(last.headers["X-Request-ID"])
        log = self.service.log()
        new, self._seen = log[self._seen :], len(log)
        return [
            record
            for record in new
            if record["level"] not in ("debug", "info") or record["message"].startswith("Exception on /")
        ]

    def assert_fails(
        self, status: int, cause: str, paths: tuple[str, str] = RUN, method: str = "GET", **headers: str
    ) -> None:
        """Check the page and the problem, see :meth:`assert_failed`."""
        self.assert_failed(status, cause, *(self.ask(path, method, **headers) for path in paths))

    def assert_failed(self, status: int, cause: str, page: Answer, problem: Answer, warnings: int = 0) -> None:
        """Check both responses, one log record for each, and the events in Sentry.

        :param cause: text of each log record, such as an SQLSTATE.
        """
        assert_failure(status, page, problem)
        ids = [answer.headers["X-Request-ID"] for answer in (page, problem)]
        records = self.records(problem)
        crashes = [record for record in records if record["message"].startswith("Exception on /")]
        others = [record["level"] for record in records if record not in crashes]
        assert others == ["warning"] * warnings
        assert [record.get("request_id") for record in crashes] == ids
        assert {record["level"] for record in crashes} <= LEVELS[status]
        assert [record for record in crashes if cause not in record["message"] + record.get("exception", "")] == []
        mark = self.ask("/mark")
        self.records(mark)
        *events, _ = self.kent.events(mark.headers["X-Request-ID"])
        told = [reference(event) for event in events]
        assert told in ([], ids[:1], ids)  # the same cause once a minute; a bug at two places is two
        logged = [record["level"].replace("critical", "fatal") for record in crashes]
        assert [event["level"] for event in events] == logged[: len(told)]
        self.assert_discreet()

    def assert_discreet(self) -> None:
        """Check that neither SQL nor a value is in the log or in Sentry."""
        told = self.service.text + str(self.kent.payloads())
        self.kent.forget()
        assert [word for word in (PRECIOUS, "[SQL", "INSERT INTO", "posts.published") if word in told] == []

    def assert_reads(self) -> None:
        assert [self.ask(path).status for path in (*READS, "/readyz")] == [200, 200, 200]

    def assert_serves(self) -> None:
        """Check that reads and writes succeed, without warnings, and that no connection is still in use."""
        self.assert_reads()
        last = self.publish()
        assert last.status == 201, last.body
        assert self.ask("/release").body == b"0"
        assert self.records(last) == []

    def assert_not_ready(self, why: str = "The database does not answer: ") -> None:
        """Check that /readyz fails, that a warning says why, and that /healthz succeeds."""
        answer = self.ask("/readyz")
        assert (answer.status, answer.body) == (503, b"not ready\n")
        assert retry_after(answer) in range(5, 16)
        (record,) = self.records(answer)
        assert record["level"] == "warning"
        assert record["message"].startswith(f"Not ready; /readyz answers 503. {why}")
        assert self.ask("/healthz").status == 200


def assert_failure(status: int, page: Answer, problem: Answer) -> None:
    """Check the status, the form and the request ID of both, and that neither contains a value."""
    assert (page.status, problem.status) == (status, status), problem.body
    assert (page.media_type, problem.media_type) == ("text/html", "application/problem+json")
    assert page.headers["X-Request-ID"].encode() in page.body
    assert problem.json["status"] == status
    assert problem.json["request_id"] == problem.headers["X-Request-ID"]
    assert PRECIOUS.encode() not in page.body + problem.body
    for answer in (page, problem):
        assert retry_after(answer) in (range(5, 16) if status == 503 else [None])


def retry_after(answer: Answer) -> int | None:
    value = answer.headers["Retry-After"]
    return int(value) if value else None
