"""Measure reading posts through the API of the default project, compared with the minimal application ``minimal.py``.

    uv run python benchmarks/posts.py

Both run in the environment of the baked project, under Gunicorn, and read the same database: SQLite, and PostgreSQL
where the dev group has installed it. Their responses are compared first. Method and output are those of ``errors.py``.
For Linux; it takes about three minutes.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from in_process import JSON, Case
from project import environment, install, versions
from ratios import Round, at_least, at_most, spread, take_turns
from under_gunicorn import TIMEOUT, Gunicorn

HERE = Path(__file__).parent

PAGE, PAGES = 20, 5_000
POSTS = PAGES * PAGE + 1
"""One more than 5,000 pages hold, so that page 5,000 has a next page, as page 1 has."""
NEWEST_FIRST = range(POSTS, 0, -1)
"""IDs of the posts. A newer post has a greater ID."""
PUBLISHED = 1_700_000_000
"""Date of the posts, in seconds since 1970."""
BODY = "A line of *Markdown*, about as long as people write them.\n" * 10

FIRST, DEEP, ONE = "page 1", f"page {PAGES:,}", "one post"
SPEED, DEPTH = 0.85, 1.2
"""Requests per second divided by those of the minimal application, at least; time of page 5,000 divided by that of page
1, at most."""

STARTS = 6
"""Number of times that each contestant is started."""
ROUNDS = 10
"""Number of rounds of each case after a start."""

HEADER = """
{versions}. Median of {rounds} rounds (middle half).

{posts:,} posts, {page} to a page, under Gunicorn at full load: one worker, 4 threads, 4 connections kept alive. Both
have the same connection pool and an access log: the service's as JSON, the other as text. Only the service validates
the query and has ETags, request IDs and rate limits.
"""


class Reading(NamedTuple):
    """A request, and the IDs of the posts in its response."""

    case: Case
    ids: list[int]


def main() -> None:
    print("About three minutes ...", file=sys.stderr)
    with TemporaryDirectory() as name, ExitStack() as servers:
        folder = Path(name)
        project = install(folder)
        databases = {"SQLite": sqlite(project, folder), "PostgreSQL": postgresql(project, servers)}
        tables = {title: lines(measure(project, folder, url)) for title, url in databases.items() if url}
        about = versions(project, "Flask", "SQLAlchemy", "gunicorn")
    print(HEADER.format(posts=POSTS, page=PAGE, rounds=STARTS * ROUNDS, versions=about))
    for title, table in tables.items():
        print(title, *table, sep="\n")


# The databases


def sqlite(project: Path, folder: Path) -> str:
    """Return the URL of a filled database."""
    file = folder / "posts.db"
    migrate(project, url := f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(insert("strftime('%Y-%m-%d %H:%M:%S.000000', {}, 'unixepoch')"))
    connection.close()
    return url


def postgresql(project: Path, servers: ExitStack) -> str | None:
    """Return the URL of a filled database, or ``None`` without PostgreSQL."""
    sys.path.append(str(HERE.parent / "tests"))
    from servers import POSTGRES, Postgres

    if not POSTGRES:
        return None
    server = servers.enter_context(Postgres())
    migrate(project, url := server.database())
    server.psql(url, insert("to_timestamp({})"))
    server.psql(url, "VACUUM ANALYZE posts")
    return url


def migrate(project: Path, url: str) -> None:
    upgrade = [project / ".venv/bin/flask", "db", "upgrade"]
    settings = environment(SECRET_KEY="benchmark", LOG_LEVEL="WARNING", DATABASE_URL=url)
    subprocess.run(upgrade, cwd=project, env=settings, check=True)


def insert(moment: str) -> str:
    """Return SQL that stores the posts.

    :param moment: SQL that converts ``{}``, seconds since 1970, to the value that the service stores.
    """
    return f"""
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {POSTS})
        INSERT INTO posts (id, slug, title, body, published, version)
        SELECT n, 'post-' || n, 'Post ' || n, '{BODY}', {moment.format(PUBLISHED)}, 1 FROM numbers
    """


# The measurements


def readings() -> list[Reading]:
    """Return the requests to measure. ``before`` is that of the Link to page 5,000."""
    before, middle = NEWEST_FIRST[-PAGE - 2], POSTS // 2
    asked = {
        FIRST: (f"?limit={PAGE}", NEWEST_FIRST[:PAGE]),
        DEEP: (f"?limit={PAGE}&before={before}", NEWEST_FIRST[-PAGE - 1 : -1]),
        ONE: (f"/{middle}", [middle]),
    }
    return [Reading(Case(name, "GET", f"/api/posts{end}", JSON, 200), list(ids)) for name, (end, ids) in asked.items()]


def measure(project: Path, folder: Path, url: str) -> list[Round]:
    """Return the seconds per request in each round, by ``case of application``."""
    settings = environment(SECRET_KEY="benchmark", DATABASE_URL=url, PYTHONPATH=str(HERE))
    start = partial(Gunicorn, project / ".venv/bin/gunicorn", environment=settings)
    rounds: list[Round] = []
    for _ in range(STARTS):
        with (
            start("my_service.wsgi:app", folder=project, log=folder / "service.log") as service,
            start("minimal:app", folder=folder, log=folder / "minimal.log") as minimal,
        ):
            check(service, minimal)
            running = (("service", service), ("minimal", minimal))
            turns = {
                f"{case.name} of {name}": partial(server.seconds, case)
                for case, _ in readings()
                for name, server in running
            }
            rounds += take_turns(turns, ROUNDS)
    return rounds


def check(service: Gunicorn, minimal: Gunicorn) -> None:
    """Check that both applications return the expected posts.

    :raises RuntimeError: if they do not.
    """
    for case, ids in readings():
        expected, other = ask(service, case), ask(minimal, case)
        posts = expected.json.get("posts", [expected.json])
        if [post["id"] for post in posts] != ids or other != expected:
            raise RuntimeError(f"{case.path} returns {expected}, and in the minimal application {other}")


class PostsResponse(NamedTuple):
    json: Any
    link: str | None


def ask(server: Gunicorn, case: Case) -> PostsResponse:
    """Send a request and return the response.

    :raises RuntimeError: if the response has another status.
    """
    with closing(HTTPConnection(*server.address, timeout=TIMEOUT)) as connection:
        connection.request(case.method, case.path)
        response = connection.getresponse()
        if response.status != case.status:
            raise RuntimeError(f"{case.path} returns {response.status}")
        return PostsResponse(json.load(response), response.headers["Link"])


# The table


def lines(rounds: list[Round]) -> Iterator[str]:
    yield "  requests per second divided by those of the minimal application; more is better"
    for case in (FIRST, DEEP, ONE):
        ratios = [seconds[f"{case} of minimal"] / seconds[f"{case} of service"] for seconds in rounds]
        yield f"    {case:<21}{spread(ratios):<21}{at_least(ratios, SPEED)}"
    yield f"  time of {DEEP} divided by that of {FIRST}; less is better"
    for name in ("service", "minimal"):
        ratios = [seconds[f"{DEEP} of {name}"] / seconds[f"{FIRST} of {name}"] for seconds in rounds]
        yield f"    {name:<21}{spread(ratios):<21}{at_most(ratios, DEPTH) if name == 'service' else ''}".rstrip()


if __name__ == "__main__":
    main()
