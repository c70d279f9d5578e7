"""Writing to the API of a running service: as a client that may, and in every way that is refused."""

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Any

from service import Answer, Service

POST = b'{"title": "Kept", "body": "To be kept."}'
JSON_TYPE = {"Content-Type": "application/json"}
MANY = "1000000/minute"
"""For RATELIMIT_WRITES: tests write more than one client may."""
LIMIT = 30
"""For RATELIMIT_WRITES of :func:`refusals`, in an hour: more than it needs before the last of them."""


def token(service: Service) -> dict[str, str]:
    """Create a token and return its header."""
    created = service.flask("tokens", "create", secrets.token_hex(8))
    return {"Authorization": f"Bearer {created.strip()}"}


def stored(service: Service) -> list[Any]:
    """Return every post in the SQLite database of a service."""
    file = service.flask.keywords["DATABASE_URL"].removeprefix("sqlite:///")  # type: ignore[attr-defined]
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT * FROM posts ORDER BY id").fetchall()


def database_of(project: Path, folder: Path) -> str:
    """Return the URL of a new, migrated SQLite database."""
    return f"sqlite:///{shutil.copy(project / 'migrated.db', folder / f'{secrets.token_hex(8)}.db')}"


def refusals(service: Service) -> Iterator[tuple[int, Answer]]:
    """Yield for each error of the client its expected status and its response. The last is a 429.

    For a service with ``RATELIMIT_WRITES=f"{LIMIT}/hour"``.
    """
    writer = token(service)
    created = service.ask("POST", "/api/posts", POST, JSON_TYPE | writer)
    url, etag = created.headers["Location"], {"If-Match": created.headers["ETag"]}
    yield 201, created
    yield 401, service.ask("POST", "/api/posts", POST, JSON_TYPE)
    yield 401, service.ask("DELETE", url, headers={"Authorization": "Bearer \xff"})
    yield 409, service.ask("POST", "/api/posts", POST, JSON_TYPE | writer)
    yield 412, service.ask("PUT", url, POST, JSON_TYPE | writer | {"If-Match": '"7"'})
    yield 428, service.ask("PUT", url, POST, JSON_TYPE | writer)
    yield 422, service.ask("PUT", url, b"{}", JSON_TYPE | writer | etag)
    yield 400, service.get("/api/posts?before=nonsense")
    yield 304, service.get(url, If_None_Match=created.headers["ETag"])
    yield 204, service.ask("DELETE", url, headers=writer | etag)
    for answer in map(service.ask, repeat("DELETE", LIMIT), repeat(url)):
        if answer.status != 401:
            yield 429, answer
            return
    raise RuntimeError("the service has no limit")
