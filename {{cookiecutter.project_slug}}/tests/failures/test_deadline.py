"""A view waits too long for the database or for another system: it ends by its deadline, and the database is free."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from .conftest import Serve, need
from .servers import TIMEOUT, wait_for
from .service import FORMS, Answer, Service, assert_error
from .upstreams import Upstream, hang

VIEWS = """
import time
from pathlib import Path
from {{ cookiecutter.__package }} import upstream
from {{ cookiecutter.__package }}.database import db
from sqlalchemy import text

ENDLESS = {
    "sqlite": "WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}
ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(600)%'"


def dialect():
    return db.engine.dialect.name


@both
def endless_statement():
    return str(db.session.scalar(text(ENDLESS[dialect()])))


@both
def endless_statements():
    while True:
        db.session.scalar(text("SELECT 1"))


@both
def write():
    if dialect() == "postgresql":
        db.session.execute(text("LOCK TABLE posts"))
    else:
        db.session.connection(execution_options={"only_reads": False})
    return "written"


@app.get("/hold")
def hold():
    db.session.execute(text("SELECT 1"))
    Path("held").touch()
    while Path("held").exists():
        time.sleep(0.02)
    return "held"


@both
def call():
    return upstream.call("GET", "thing").text


@both
def both_in_turn():
    try:
        upstream.call("GET", "thing")
    except Exception:
        return endless_statement()


@app.get("/active")
def active():
    return str(db.session.scalar(text(ACTIVE)) - 1)  # this is one


@app.get("/pid")
def pid():
    return str(db.session.scalar(text("SELECT pg_backend_pid()")))
"""
LONG = {"DATABASE_POOL_TIMEOUT": "600", "DATABASE_STATEMENT_TIMEOUT": "600", "DATABASE_LOCK_TIMEOUT": "600"}
"""What is waited for with these ends by the deadline, or not in this test."""
SETTINGS = {"REQUEST_DEADLINE": "1", "DATABASE_POOL_SIZE": "1", "UPSTREAM_TIMEOUT": "600", **LONG}


@pytest.fixture(scope="module")
def other() -> Iterator[Upstream]:
    """A system that never answers."""
    with Upstream(hang) as other:
        yield other


@pytest.fixture(scope="module")
def service(serve_all: Serve, database: str, other: Upstream) -> Service:
    return serve_all(VIEWS, DATABASE_URL=database, UPSTREAM_URL=f"http://{other.address}", **SETTINGS)


def assert_ends(service: Service, name: str, status: int = 503) -> None:
    """As a page and as a problem, in time. One connection is all there is, and it is free afterwards."""
    for path, form in FORMS.items():
        begun = time.monotonic()
        answer = service.get(f"{path}/{name}")
        assert time.monotonic() - begun < TIMEOUT / 2
        assert_ended(answer, status, form)
        told = [record for record in service.records(answer.request_id) if record["level"] != "info"]
        assert [record["event"].partition(" /")[0] for record in told] == ["Exception on"]
    assert service.get("/api/posts").status == 200


def assert_ended(answer: Answer, status: int, form: str) -> None:
    assert_error(answer, status, form)
    if status == 503:
        assert int(answer.headers["Retry-After"]) in range(5, 16)


def test_endless_statements(service: Service) -> None:
    assert_ends(service, "endless_statements")


def test_endless_statement_does_not_go_on_when_nobody_waits_for_it(service: Service, database: str) -> None:
    assert_ends(service, "endless_statement")
    if database.startswith("postgresql"):
        wait_for(lambda: service.get("/active").body == b"0", "the end of the statement")


def test_lock_that_is_not_given_back(service: Service, serve: Serve, database: str) -> None:
    with locked(serve, database):
        for path, form in FORMS.items():
            assert_ended(service.get(f"{path}/write"), 503, form)
    assert service.get("/write").body == b"written"


@contextmanager
def locked(serve: Serve, database: str) -> Iterator[None]:
    """Another service writes meanwhile, and does not come to an end."""
    lines = """
@app.get("/lock")
def lock():
    write()
    return hold()
"""
    holder = serve(VIEWS + lines, DATABASE_URL=database)
    with ThreadPoolExecutor() as threads:
        held = threads.submit(holder.get, "/lock")
        wait_for((holder.folder / "held").exists, "the lock")
        try:
            yield
        finally:
            (holder.folder / "held").unlink()
        assert held.result(TIMEOUT).body == b"held"


def test_connection_that_is_not_given_back(service: Service) -> None:
    held_file = service.folder / "held"
    with ThreadPoolExecutor() as threads:
        held = threads.submit(service.get, "/hold")
        wait_for(held_file.exists, "the connection to be in use")
        for path, form in FORMS.items():
            assert_ended(service.get(f"{path}/write"), 503, form)
        assert not held.done()
        held_file.unlink()
        assert held.result(TIMEOUT).body == b"held"
    assert service.get("/write").body == b"written"


def test_other_system_and_database_share_one_deadline(service: Service) -> None:
    assert_ends(service, "call", 504)
    assert_ends(service, "both_in_turn")


def test_stuck_view_is_ended_by_its_deadline_in_every_worker(
    serve: Serve, worker: dict[str, str], other: Upstream
) -> None:
    service = serve(VIEWS, UPSTREAM_URL=f"http://{other.address}", **SETTINGS, **worker)
    workers = service.workers()
    assert_ends(service, "endless_statement")
    assert_ends(service, "call", 504)
    assert service.workers() == workers


def test_requests_that_wait_for_a_thread_are_not_lost_at_sigterm(serve: Serve, database: str) -> None:
    """Four times as many as there are threads: each has waited long enough when its turn comes."""
    service = serve(VIEWS, DATABASE_URL=database, REQUEST_DEADLINE="2", **LONG)
    with ThreadPoolExecutor(16) as clients:
        asked = [clients.submit(service.get, "/endless_statement") for _ in range(16)]
        time.sleep(1)  # until they are under way
        service.process.send_signal(signal.SIGTERM)
        assert {answer.result().status for answer in asked} == {503}
    assert service.process.wait(TIMEOUT) == 0


def test_sqlite_file_that_another_process_has_for_itself(serve: Serve) -> None:
    service = serve(REQUEST_DEADLINE="1", DATABASE_LOCK_TIMEOUT="600")
    with closing(sqlite3.connect(service.folder / "instance/service.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        assert_ended(service.get("/api/posts"), 503, FORMS["/api"])
        assert service.get("/readyz").status == 503
        assert time.monotonic() - begun < TIMEOUT / 2
    assert service.get("/api/posts").status == 200


# A server that hangs while its kernel acknowledges

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@contextmanager
def frozen(*processes: int) -> Iterator[None]:
    """SIGSTOP: their connections stay, and nothing answers on them."""
    with ExitStack() as undo:
        for process in processes:
            undo.callback(os.kill, process, signal.SIGCONT)
            os.kill(process, signal.SIGSTOP)
        yield


@pytest.fixture
def server(service: Service) -> tuple[int, int]:
    """The process of PostgreSQL that the service is connected to, and the one that starts them."""
    backend = int(service.get("/pid").body)
    status = Path(f"/proc/{backend}/status")
    need(status.exists() and os.access(f"/proc/{backend}/environ", os.R_OK), "PostgreSQL is not ours to stop")
    [parent] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("PPid:")]
    return backend, int(parent)


@on_postgresql
@pytest.mark.parametrize("whole", [False, True], ids=["connection", "server"])
def test_frozen_server(service: Service, server: tuple[int, int], whole: bool) -> None:
    with frozen(*server[: 1 + whole]):
        assert_ended(service.get("/write"), 503, FORMS[""])
        assert service.get("/healthz").status == 200
    assert service.get("/api/posts").status == 200


@on_postgresql
@pytest.mark.failure("the database is down, hangs or is restarted")
def test_readiness_does_not_wait_as_long_as_a_request_may(serve: Serve, server: tuple[int, int], database: str) -> None:
    service = serve(VIEWS, DATABASE_URL=database, REQUEST_DEADLINE="600", **LONG)
    backend = int(service.get("/pid").body)
    with frozen(backend):
        assert service.get("/readyz").status == 503
        assert service.get("/healthz").status == 200
    assert service.get("/readyz").status == 200
