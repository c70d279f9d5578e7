"""The database is locked, gone or busy: 503 until it is back, and then the service goes on by itself."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest

from .conftest import Serve
from .postgres import Postgres
from .servers import wait_for
from .service import FORMS
from .storing import Store

VIEWS = """
import threading
import time
from pathlib import Path
from flask import g

meeting = threading.Barrier(2)

def execute(sql, **values):
    return db.session.execute(text(sql), values)

@both
def run():
    return str(execute(request.args["sql"]).first())

@both
def hold():
    execute("SELECT 1")
    file = Path(request.args["file"])
    file.touch()
    while file.exists():
        time.sleep(0.02)
    return "held"

def conflict():
    "Another changes what this has read, in as many runs as are asked for."
    g.runs = g.get("runs", 0) + 1
    if db.engine.dialect.name == "postgresql":
        db.session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
    execute("SELECT max(version) FROM posts")
    if g.runs <= int(request.args["times"]):
        with db.engine.begin() as other:
            other.execute(text("UPDATE posts SET version = version + 1"))
    execute("UPDATE posts SET version = version + 1")
    return str(g.runs)

both(transaction(conflict))

def deadlock():
    "Two requests want two locks, each in an order of its own."
    g.runs = g.get("runs", 0) + 1
    first, second = request.args["order"]
    execute(f"SELECT pg_advisory_xact_lock({first})")
    if g.runs == 1:
        meeting.wait(30)
    execute(f"SELECT pg_advisory_xact_lock({second})")
    return str(g.runs)

both(transaction(deadlock))
"""


@pytest.fixture
def store(serve: Serve, database: str) -> Store:
    """On SQLite and on PostgreSQL, with something stored."""
    store = Store(serve, database, VIEWS, DATABASE_POOL_SIZE="2")
    store.assert_serves()
    return store


@pytest.fixture
def own_store(serve: Serve, own_database: str) -> Store:
    """On a server that can be stopped."""
    store = Store(serve, own_database, VIEWS)
    store.assert_serves()
    return store


locked_row = pytest.mark.failure("the database is locked")
down_row = pytest.mark.failure("the database is down, hangs or is restarted")
busy_row = pytest.mark.failure("no connection is free; a deadlock; a statement that takes too long")
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def levels(store: Store) -> set[str]:
    return {record["level"] for record in store.service.log()}


# Locked


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else holds the lock that writing needs."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE posts IN EXCLUSIVE MODE")
            yield


@locked_row
def test_locked_database_can_be_read(store: Store) -> None:
    with locked(store.url):
        store.assert_fails(store.publish, 503, "SQLITE_BUSY" if store.url.startswith("sqlite") else "55P03")
        store.assert_reads()
        assert store.get("/readyz").status == 200
    store.assert_serves()
    store.assert_reported()


@locked_row
def test_lock_that_is_released_in_time_is_not_noticed(serve: Serve, database: str) -> None:
    store = Store(serve, database, DATABASE_LOCK_TIMEOUT="30", DATABASE_STATEMENT_TIMEOUT="30")
    with ThreadPoolExecutor() as threads:
        with locked(store.url):
            waiting = [threads.submit(store.publish, path) for path in FORMS]
            time.sleep(0.5)  # until they wait
            assert [future.done() for future in waiting] == [False, False]
        assert [future.result().status for future in waiting] == [200, 200]
    store.assert_serves()
    assert levels(store) == {"info"}


# Down


@down_row
def test_stopped_server(own_store: Store, postgres: Postgres) -> None:
    with postgres.stopped():
        own_store.assert_fails(own_store.titles, 503, "Connection refused")
        own_store.assert_fails(own_store.publish, 503, "Connection refused")
        own_store.assert_not_ready("Connection refused")
        assert [own_store.get(f"{path}/unknown").form for path in FORMS] == [*FORMS.values()]
    own_store.assert_serves()
    own_store.assert_reported()


@down_row
def test_service_that_starts_before_its_server(serve: Serve, own_database: str, postgres: Postgres) -> None:
    with postgres.stopped():
        store = Store(serve, own_database)
        store.assert_fails(store.titles, 503, "Connection refused")
        store.assert_not_ready("Connection refused")
    store.assert_serves()


@down_row
def test_restart_between_two_requests_is_not_noticed(own_store: Store, postgres: Postgres) -> None:
    with postgres.stopped():
        pass
    own_store.assert_serves()
    assert levels(own_store) == {"info"}


OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@down_row
def test_idle_connections_that_the_server_ends_are_not_noticed(own_store: Store, postgres: Postgres) -> None:
    assert "t" in postgres.sql(f"SELECT pg_terminate_backend(pid, 10000) {OTHERS}", own_store.url)
    own_store.assert_serves()
    assert levels(own_store) == {"info"}


@down_row
def test_connection_that_the_server_ends_in_a_statement(own_store: Store, postgres: Postgres) -> None:
    sleeping = f"{OTHERS} AND state = 'active' AND query LIKE '%pg_sleep(600)%'"
    with ThreadPoolExecutor() as threads:
        for path, form in FORMS.items():
            asked = threads.submit(own_store.get, f"{path}/run?sql=SELECT+pg_sleep(600)")
            wait_for(lambda: postgres.sql(f"SELECT pid {sleeping}", own_store.url), "the statement")
            postgres.sql(f"SELECT pg_terminate_backend(pid, 10000) {sleeping}", own_store.url)
            own_store.assert_failed(asked.result(), form, 503, "57P01")
    own_store.assert_serves()
    own_store.assert_reported()


# Busy


@contextmanager
def held(store: Store, count: int) -> Iterator[None]:
    """So many connections are in use, by requests that take their time."""
    files = [store.service.folder / f"held-{number}" for number in range(count)]
    with ThreadPoolExecutor() as threads:
        holding = [threads.submit(store.get, f"/hold?file={file}") for file in files]
        wait_for(lambda: all(file.exists() for file in files), "the connections to be in use")
        try:
            yield
        finally:
            for file in files:
                file.unlink()
        assert [future.result().body for future in holding] == [b"held"] * count


@busy_row
def test_all_connections_in_use(store: Store) -> None:
    with held(store, 2):
        store.assert_fails(store.titles, 503, "QueuePool limit")
        store.assert_not_ready("QueuePool limit")
    store.assert_serves()
    store.assert_reported()


@on_postgresql
@busy_row
def test_statement_timeout(store: Store) -> None:
    """SQLite has none but the deadline, see test_deadline.py."""
    store.assert_fails(lambda path: store.get(f"{path}/run?sql=SELECT+pg_sleep(600)"), 503, "57014")
    store.assert_serves()
    store.assert_reported()


@busy_row
def test_serialization_failure_that_goes_away_is_but_a_line_in_the_log(store: Store) -> None:
    """Of SQLite: reading what is no longer the newest, and then writing."""
    for path in FORMS:
        answer = store.get(f"{path}/conflict?times=1")
        assert (answer.status, answer.body) == (200, b"2")
        assert [record["level"] for record in store.told(answer)] == ["warning"]
    assert store.service.events() == []


@busy_row
def test_serialization_failure_that_stays(store: Store) -> None:
    for path, form in FORMS.items():
        answer = store.get(f"{path}/conflict?times=100")
        assert (answer.status, answer.form) == (503, form)
        assert [record["level"] for record in store.told(answer)] == ["warning"] * 4  # it was run again 3 times
    store.assert_serves()
    assert [event["level"] for event in store.service.events()] == ["warning"]


@on_postgresql
@busy_row
def test_deadlock_is_but_a_line_in_the_log(serve: Serve, database: str) -> None:
    """One of two requests is run again. SQLite has one lock, and so no deadlock."""
    store = Store(serve, database, VIEWS, DATABASE_LOCK_TIMEOUT="10", DATABASE_STATEMENT_TIMEOUT="20")
    orders = ["/deadlock?order=12", "/api/deadlock?order=21"]
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(store.get, orders))
    assert sorted((answer.status, answer.body) for answer in answers) == [(200, b"1"), (200, b"2")]
    assert [record["level"] for answer in answers for record in store.told(answer)] == ["warning"]
    store.assert_serves()
    assert store.service.events() == []
