"""Faults of real databases: responses, log records and events, and that the service works again afterwards."""

import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from conftest import Serve, flask
from servers import Kent, Postgres
from service import TIMEOUT
from stores import INSERT, READS, UPDATE, Store, retry_after


@pytest.fixture(scope="module")
def sqlite(project: Path, serve_all: Serve, sentry: Kent, tmp_path_factory: pytest.TempPathFactory) -> Store:
    database = shutil.copy(project / "migrated.db", tmp_path_factory.mktemp("sqlite"))
    return Store(serve_all, sentry, f"sqlite:///{database}").fill()


@pytest.fixture(scope="module")
def postgresql(project: Path, serve_all: Serve, sentry: Kent, postgres: Postgres) -> Store:
    url = postgres.database()
    set_default(postgres, url, "SET deadlock_timeout = '100ms'")  # less than the lock timeout
    flask(project, "db", "upgrade", DATABASE_URL=url)
    return Store(serve_all, sentry, url).fill()


def set_default(postgres: Postgres, url: str, setting: str) -> None:
    """Change a setting of this database for new connections, and end the existing ones."""
    server, _, name = url.rpartition("/")
    postgres.psql(f"{server}/postgres", f"ALTER DATABASE {name} {setting}")
    others = f"FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.psql(f"{server}/postgres", f"SELECT pg_terminate_backend(pid, 10000) {others}")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """The service on either database, the same for all tests."""
    store: Store = request.getfixturevalue(request.param)
    store.forget()
    return store


on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("store", ["postgresql"], indirect=True)

BUGS = {
    "syntax": "SELEKT :value, 'precious'",
    "missing table": "SELECT :value, 'precious' FROM missing",
    "missing column": "SELECT :value, 'precious', missing FROM posts",
    "not null": "INSERT INTO posts (slug) VALUES (:value)",
}


@pytest.mark.parametrize("sql", BUGS.values(), ids=BUGS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bug_is_500(store: Store, method: str, sql: str) -> None:
    store.assert_fails(500, "sqlalchemy.exc.", method=method, SQL=sql)
    store.assert_serves()


CANCEL = "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1), 'precious'"
FAULTS = {
    "text for a number": (500, "22P02", "SELECT CAST(:value AS integer)"),
    "statement timeout": (503, "57014", "SELECT pg_sleep(60), 'precious'"),
    "statement cancelled": (503, "57014", CANCEL),
    "connection ended": (503, "57P01", "SELECT pg_terminate_backend(pg_backend_pid()), 'precious'"),
    "idle in transaction": (503, "25P03", "SET LOCAL idle_in_transaction_session_timeout = 50; SELECT 'precious'"),
}


@on_postgresql
@pytest.mark.parametrize(("status", "sqlstate", "sql"), FAULTS.values(), ids=FAULTS)
def test_fault_of_postgresql(store: Store, status: int, sqlstate: str, sql: str) -> None:
    store.assert_fails(status, sqlstate, SQL=sql, Pause="0.3" if "idle" in sql else "0")
    store.assert_serves()


@on_postgresql
def test_retry_after_is_jittered(store: Store) -> None:
    answers = [store.ask("/run", SQL=CANCEL) for _ in range(12)]
    assert len({retry_after(answer) for answer in answers}) > 1
    store.kent.events(store.ask("/mark").headers["X-Request-ID"])  # the last of them


def test_duplicate_slug_is_a_client_error(store: Store) -> None:
    first, second = store.publish("taken"), store.publish("taken")
    assert (first.status, second.status) == (201, 409)
    assert second.json["type"] == "/problems/slug-taken"
    assert store.records(second) == []
    insert = INSERT.format("'taken'", "'precious'")
    store.assert_fails(409, "IntegrityError", method="POST", SQL=insert)  # without SlugTaken
    store.assert_serves()


@on_sqlite
def test_file_locked_by_another_connection(store: Store) -> None:
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM posts")
        store.assert_reads()
        other.execute("ROLLBACK")
        other.execute("BEGIN EXCLUSIVE")
        store.assert_failed(503, "SQLITE_BUSY", store.ask("/run", "POST", SQL=UPDATE), store.publish())
        store.assert_reads()
    store.assert_serves()


SESSION = """
import sys
import psycopg

connection = psycopg.connect(sys.argv[1], autocommit=True)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def session(project: Path, url: str, *statements: str) -> Iterator[None]:
    """Run statements in another session of PostgreSQL, which stays open until the end of the ``with``."""
    command = [project / ".venv/bin/python", "-c", SESSION, url, *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        yield


@on_postgresql
def test_rows_locked_by_another_session(store: Store, project: Path) -> None:
    with session(project, store.url, "BEGIN", "SELECT * FROM posts FOR UPDATE"):
        store.assert_fails(503, "55P03", method="POST", SQL=UPDATE)
        store.assert_reads()
    store.assert_serves()


def test_all_connections_of_the_pool_in_use(store: Store) -> None:
    assert [store.ask("/hold").status for _ in range(5)] == [200] * 5
    try:
        store.assert_fails(503, "QueuePool limit", READS)
        store.assert_not_ready()
    finally:
        store.ask("/release")
    store.assert_serves()


def test_too_many_connections(serve: Serve, sentry: Kent, project: Path, postgres: Postgres) -> None:
    url, role = postgres.database(), f"role_{secrets.token_hex(4)}"
    flask(project, "db", "upgrade", DATABASE_URL=url)
    postgres.psql(url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    postgres.psql(url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    store = Store(serve, sentry, url.replace("postgres@", f"{role}@"))
    with session(project, store.url):
        store.assert_fails(503, "too many connections for role", READS)
        store.assert_not_ready()
    store.assert_reads()


@on_postgresql
def test_stopped_server(store: Store, postgres: Postgres) -> None:
    with postgres.stopped():
        store.assert_fails(503, "Connection refused", READS)
        store.assert_failed(503, "Connection refused", store.ask("/run", "POST", SQL=UPDATE), store.publish())
        store.assert_not_ready()
    store.assert_serves()


@on_postgresql
def test_restarted_server(store: Store, postgres: Postgres) -> None:
    store.assert_serves()
    with postgres.stopped():
        pass
    store.assert_serves()


@on_postgresql
def test_connection_lost_after_the_last_query(store: Store) -> None:
    """A response that is complete is sent. A commit that fails is an error."""
    page, problem = [store.ask(path) for path in ("/lose", "/api/lose")]
    assert [(answer.status, answer.body) for answer in (page, problem)] == [(200, b"done"), (200, b"done")]
    assert {record["level"] for record in store.records(problem)} <= {"warning"}
    store.assert_fails(503, "57P01", ("/lose", "/api/lose"), "POST")
    store.assert_serves()


@on_postgresql
def test_conflict_is_retried(store: Store) -> None:
    """A serialization failure. On SQLite ``BEGIN IMMEDIATE`` prevents it."""
    answer = store.ask("/conflict", Conflicts="1")
    assert (answer.status, answer.body) == (200, b"2")
    assert [record["level"] for record in store.records(answer)] == ["warning"]
    store.assert_discreet()


@on_postgresql
def test_conflict_on_every_retry(store: Store) -> None:
    page, problem = [store.ask(path, Conflicts="100") for path in ("/conflict", "/api/conflict")]
    store.assert_failed(503, "sqlalchemy.exc.OperationalError", page, problem, warnings=6)
    store.assert_serves()


@on_postgresql
def test_deadlock_is_retried(store: Store) -> None:
    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(store.ask, "/deadlock", Rows=rows) for rows in ("1 2", "2 1")]
        answers = [future.result(TIMEOUT) for future in asked]
    assert sorted((answer.status, answer.body) for answer in answers) == [(200, b"1"), (200, b"2")]
    store.assert_discreet()


@contextmanager
def frozen(*processes: int) -> Iterator[None]:
    """Stop processes with SIGSTOP: their connections stay open without an answer."""
    with ExitStack() as undo:
        for process in processes:
            undo.callback(os.kill, process, signal.SIGCONT)
            os.kill(process, signal.SIGSTOP)
        yield


@on_postgresql
def test_error_responses_do_not_use_the_database(store: Store, postgres: Postgres) -> None:
    """Neither on a connection of the pool nor on a new one."""
    store.assert_reads()
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    pids = postgres.psql(store.url, f"SELECT pid FROM pg_stat_activity WHERE {others}")
    with frozen(postgres.process.pid, *map(int, pids.split())):
        answers = [store.ask(path) for path in ("/unknown", "/blog/a/b", "/api/unknown", "/healthz")]
        answers += [store.ask(path, "PATCH") for path in ("/", "/blog/", "/api/posts/1")]
        assert [answer.status for answer in answers] == [404, 404, 404, 200, 405, 405, 405]
    store.assert_serves()


@on_postgresql
def test_frozen_server(store: Store, postgres: Postgres) -> None:
    with postgres.stopped():  # no connection is left
        pass
    with frozen(postgres.process.pid):
        store.assert_fails(503, "timeout expired", READS)
    store.assert_serves()


@on_postgresql
def test_read_only_server(store: Store, postgres: Postgres) -> None:
    set_default(postgres, store.url, "SET default_transaction_read_only = on")
    try:
        store.assert_fails(500, "25006", method="POST", SQL=UPDATE)
        store.assert_reads()
    finally:
        set_default(postgres, store.url, "RESET default_transaction_read_only")
    store.assert_serves()
