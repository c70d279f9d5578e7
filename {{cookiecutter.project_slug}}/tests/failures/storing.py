"""A service that stores: what it has acknowledged has to be there, whatever fails, and what it has refused has not."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .conftest import Serve
from .service import FORMS, Answer, Service, assert_error, new_id

VIEWS = """
import secrets
from flask import request
from {{ cookiecutter.__package }}.database import db, transaction
from {{ cookiecutter.__package }}.posts import Draft, Post, add
from sqlalchemy import select, text

def publish():
    return add(Draft(title=request.args["title"], body=secrets.token_hex(int(request.args["size"])))).title

both(transaction(publish), methods=["POST"])

@both
def titles():
    return "\\n".join(db.session.scalars(select(Post.title)))
"""
SETTINGS = {
    "DATABASE_POOL_TIMEOUT": "1",
    "DATABASE_CONNECT_TIMEOUT": "2",
    "DATABASE_STATEMENT_TIMEOUT": "2",
    "DATABASE_LOCK_TIMEOUT": "1",
}
PASSES = ("warning", "warning", "warning")
"""Levels of the first record in the log, of the next ones, and of the event, for what may be over in a moment."""
LOSES = ("critical", "error", "fatal")
"""The same for a disk that takes nothing."""
LEVELS = {500: LOSES, 503: PASSES, 507: LOSES}


class Store:
    """The service of ``VIEWS``, and more, on this database."""

    def __init__(self, serve: Serve, url: str, extra: str = "", **settings: str) -> None:
        self.url = url
        self._start = partial(serve, VIEWS + extra, **SETTINGS | {"DATABASE_URL": url} | settings)
        self.service: Service = self._start()
        self.stored: set[str] = set()
        self.unstored: set[str] = set()
        self.failures: list[Answer] = []

    def restart(self) -> None:
        self.service.stop()
        self.service = self._start()

    def get(self, path: str) -> Answer:
        return self.service.get(path)

    def titles(self, path: str = "") -> Answer:
        """What is stored, as a page or for a program."""
        return self.get(f"{path}/titles")

    def publish(self, path: str = "", size: int = 10) -> Answer:
        """Store a post with a body of so many bytes, twice as many characters."""
        title = new_id()
        answer = self.service.ask("POST", f"{path}/publish?title={title}&size={size}")
        (self.stored if answer.status == 200 else self.unstored).add(title)
        return answer

    def assert_fails(self, ask: Callable[[str], Answer], status: int, cause: str) -> None:
        """As a page and as a problem, see :meth:`assert_failed`."""
        for path, form in FORMS.items():
            self.assert_failed(ask(path), form, status, cause)

    def assert_failed(self, answer: Answer, form: str, status: int, cause: str) -> None:
        """It is one record in the log, which names the cause."""
        assert_error(answer, status, form)
        assert (answer.headers["Retry-After"] is not None) == (status == 503)
        (record,) = self.told(answer)
        first, then, _ = LEVELS[status]
        assert record["level"] == (then if self.failures else first)
        assert cause in record["exception"]
        self.failures.append(answer)

    def told(self, answer: Answer) -> list[dict[str, Any]]:
        """What was logged of a request as a warning or worse."""
        return [record for record in self.service.records(answer.request_id) if record["level"] != "info"]

    def assert_reported(self) -> None:
        """The first of what failed, and nothing else."""
        (event,) = self.service.events()
        assert event["tags"]["request_id"] == self.failures[0].request_id
        assert event["level"] == LEVELS[self.failures[0].status][2]

    def assert_reads(self) -> None:
        assert [self.titles(path).status for path in FORMS] == [200, 200]

    def assert_serves(self) -> None:
        """Reads and writes. What was acknowledged is stored, what was refused is not."""
        assert [self.publish(path).status for path in FORMS] == [200, 200]
        titles = set(self.titles().body.decode().split())
        assert (self.stored - titles, self.unstored & titles) == (set(), set())
        assert self.get("/readyz").status == 200

    def assert_not_ready(self, cause: str) -> None:
        """Requests are to be sent elsewhere, and the log says why. The process is not to be restarted for it."""
        answer = self.get("/readyz")
        assert (answer.status, answer.body) == (503, b"not ready\n")
        (record,) = self.told(answer)
        assert record["level"] == "warning"
        assert cause in record["event"]
        assert self.get("/healthz").status == 200
