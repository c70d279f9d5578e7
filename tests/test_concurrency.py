"""Many clients write while workers are killed: every acknowledged write is stored once."""

import http.client
import json
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from conftest import Serve, flask
from servers import Postgres
from service import TIMEOUT, Answer, Service

WORKERS = 4
CLIENTS = 8
CREATES = 125
UPDATES = 125
"""Updates of each client. All clients together make 2,000 writes."""
HOT_POSTS = 4
"""Number of posts that all clients update, so that they conflict."""
SHARED = 5
"""In one of this many creates, all clients send the same slug. One client gets it."""
PAUSE = 700
"""Number of responses between two kills."""
LOST = 0
"""Stands for the status of a lost response."""
LIMIT = "50/second"
"""Rate limit of each worker. A fast machine exceeds it."""


@dataclass
class Client:
    """A process that writes until everything is acknowledged, and counts the responses."""

    name: str
    port: int
    token: str
    created: dict[str, str] = field(default_factory=dict)
    """Slug to text of the acknowledged posts."""
    appended: list[tuple[str, str]] = field(default_factory=list)
    """URLs of posts and the lines that were added to them, acknowledged."""
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, hot: list[str]) -> "Client":
        for number in range(max(CREATES, UPDATES)):
            if number < CREATES:
                self.create(f"shared-{number}" if number % SHARED == 0 else f"{self.name}-{number}", number)
            if number < UPDATES:
                self.append(random.choice(hot), f"{self.name}:{number}")
        return self

    def create(self, slug: str, number: int) -> None:
        """Create a post, with another slug if this one is taken, unless by the own post whose response was lost."""
        text, sent_before = f"{self.name} wrote {number}.", False
        while True:
            status = self.write("POST", "/api/posts", {"title": "x", "slug": slug, "body": text}).status
            if status == 201 or (status == 409 and sent_before and self.is_there(slug, text)):
                self.created[slug] = text
                return
            if status == 409:
                slug, sent_before = f"{slug}-of-{self.name}", False
            else:
                sent_before = sent_before or status in (LOST, 503)

    def is_there(self, slug: str, text: str) -> bool:
        return f"<p>{text}</p>".encode() in self.read(f"/blog/{slug}").body

    def append(self, url: str, line: str) -> None:
        """Read, change and write a post, until the line is in it."""
        while True:
            post = self.read(url)
            lines = post.json["body"].splitlines()
            if line not in lines:
                draft = {"title": "Hot", "body": "\n".join([*lines, line])}
                if self.write("PUT", url, draft, {"If-Match": post.headers["ETag"]}).status != 200:
                    continue
            self.appended.append((url, line))
            return

    def read(self, url: str) -> Answer:
        while (answer := self.ask("GET", url)).status != 200:
            assert answer.status in (LOST, 503), (url, answer)
        return answer

    def write(self, method: str, url: str, draft: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        common = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        answer = self.ask(method, url, json.dumps(draft), common | (headers or {}))
        expected = {"POST": (201, 409), "PUT": (200, 412)}[method]
        assert answer.status in (*expected, 429, 503, LOST), (method, url, answer)
        return answer

    def ask(self, method: str, url: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request and count its response. After a 429 or 503 wait briefly."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)) as connection:
            try:
                connection.request(method, url, body, headers or {})
                response = connection.getresponse()
                answer = Answer(response.status, response.headers, response.read())
            except (ConnectionError, http.client.HTTPException):
                answer = Answer(LOST, http.client.HTTPMessage(), b"")
        self.answers[f"{method} {answer.status or 'lost'}"] += 1
        if answer.status in (429, 503):
            time.sleep(min(0.2, int(answer.headers["Retry-After"])))
        return answer


def publish_hot_posts(service: Service, token: str) -> list[str]:
    """Create the posts that all clients update, and return their URLs."""
    publisher = Client("publisher", service.port, token)
    drafts = [{"title": "Hot", "slug": f"hot-{number}", "body": "start"} for number in range(HOT_POSTS)]
    return [publisher.write("POST", "/api/posts", draft).headers["Location"] for draft in drafts]


def kill_workers(service: Service, clients: list[Future[Client]]) -> int:
    """Kill a worker now and then until the clients are done. Return the number of kills."""
    killed: set[int] = set()
    while not all(client.done() for client in clients):
        if service.text.count('"logger": "gunicorn.access"') > PAUSE * (len(killed) + 1):
            started = {int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", service.text)}
            killed.add(pid := random.choice(sorted(started - killed)))
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return len(killed)


def errors(service: Service) -> list[str]:
    """Return the errors in the log except those about killed workers."""
    records = [record for record in service.log() if record["level"] in ("error", "critical")]
    return [
        str(record) for record in records if not record["message"].endswith("was sent SIGKILL! Perhaps out of memory?")
    ]


@dataclass
class Database:
    url: str
    rows: Callable[[], list[tuple[str, str, int]]]
    """Function that returns slug, text and version of every post."""


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> Database:
    """A migrated database of each kind."""
    if request.param == "sqlite":
        file = tmp_path / "posts.db"
        made = Database(f"sqlite:///{file}", partial(sqlite_rows, file))
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
        made = Database(url, partial(postgres_rows, server, url))
    flask(project, "db", "upgrade", DATABASE_URL=made.url)
    return made


def sqlite_rows(file: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT slug, body, version FROM posts").fetchall()


def postgres_rows(server: Postgres, url: str) -> list[tuple[str, str, int]]:
    rows = server.psql(url, "SELECT json_build_array(slug, body, version) FROM posts")
    return [tuple(json.loads(row)) for row in rows.splitlines()]


def check(database: Database, clients: list[Client], hot: list[str]) -> None:
    """Check that the database has every acknowledged write once, and nothing else."""
    rows = database.rows()
    created = [item for client in clients for item in client.created.items()]
    assert len(created) == CLIENTS * CREATES
    assert sorted((slug, text) for slug, text, _ in rows if not slug.startswith("hot-")) == sorted(created)

    appended = [line for client in clients for line in client.appended]
    assert len(appended) == CLIENTS * UPDATES
    for number, url in enumerate(hot):
        [(text, version)] = [(text, version) for slug, text, version in rows if slug == f"hot-{number}"]
        assert sorted(text.splitlines()) == sorted(["start", *(line for where, line in appended if where == url)])
        assert version == len(text.splitlines())


def test_every_acknowledged_write_is_there_once(serve: Serve, database: Database) -> None:
    service = serve(DATABASE_URL=database.url, WEB_CONCURRENCY=str(WORKERS), RATELIMIT_WRITES=LIMIT)
    token = service.flask("tokens", "create", "clients").strip()
    hot = publish_hot_posts(service, token)
    started = time.monotonic()
    with ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(Client(f"c{n}", service.port, token).run, hot) for n in range(CLIENTS)]
        kills = kill_workers(service, futures)
    clients = [future.result() for future in futures]

    answers = sum((client.answers for client in clients), Counter())
    print(f"{kills} workers killed, {time.monotonic() - started:.0f} s; answers: {dict(sorted(answers.items()))}")
    assert service.stop() == 0
    check(database, clients, hot)
    assert errors(service) == []
    assert kills >= 3
    assert {"POST 409", "PUT 412"} <= answers.keys()
    assert {"POST lost", "PUT lost"} & answers.keys()
