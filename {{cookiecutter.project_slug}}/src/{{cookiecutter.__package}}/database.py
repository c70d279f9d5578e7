"""The database: engine, sessions, migrations, and what its exceptions mean over HTTP.

``db.session`` belongs to the application context: what was not committed is rolled back at its end, whatever happened.
https://flask-sqlalchemy-lite.readthedocs.io, https://flask-alembic.readthedocs.io
"""

import inspect
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from math import inf
from time import monotonic
from typing import Any, Literal, ParamSpec, TypeVar

import click
import stamina
from flask import Flask, current_app, has_request_context, request
from flask.cli import AppGroup
from flask_alembic import Alembic
from flask_alembic.cli import cli
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import URL, Connection, DateTime, Dialect, Engine, MetaData, TypeDecorator, event, make_url, orm, text
from sqlalchemy import inspect as inspect_database
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import queue
from werkzeug.exceptions import Conflict, HTTPException

from . import deadline, errors

P = ParamSpec("P")
R = TypeVar("R")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""A request with one of them changes nothing (RFC 9110 section 9.2.1)."""

# By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) and by the name of SQLite's result code
# (https://www.sqlite.org/rescode.html), or how these begin.
CONFLICT = ("40001", "40P01", "SQLITE_BUSY_SNAPSHOT")
"""Another transaction was in the way; the same one may well succeed if it is run again."""
UNIQUE = ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
FULL = ("53100", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
FAILING = ("58", "XX001", "XX002", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB")
"""The disk, or what is on it."""
UNAVAILABLE = (
    *CONFLICT,
    *("08", "25P03", "25P04", "53", "55P03", "57"),
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_INTERRUPT"),
)
"""Locked, lost, shut down, out of connections or memory, or stopped by a timeout."""
HARMLESS = (*UNAVAILABLE, *FULL, "25", "42P01", "58", "SQLITE_CONSTRAINT", "SQLITE_IOERR", "SQLITE_READONLY")
"""The messages of these hold neither SQL nor values."""

PROBE = 5
"""Seconds that :func:`trouble` waits: who probes does not wait as long as a request may take."""
DOUBT = 60
"""Seconds for which a disk that has failed counts as failing, unless something is stored on it sooner."""

NAMES = {kind: f"{kind}_%(table_name)s_%(column_0_N_name)s" for kind in ("ix", "uq", "fk")}
NAMES |= {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}


class Model(orm.DeclarativeBase):
    """What is stored. Every constraint has a name, so that a migration can change it."""

    metadata = MetaData(naming_convention=NAMES)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, in UTC on either side. SQLite would give it back without a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Waiting(queue.Queue[Any]):
    """Where a request waits for a connection: no longer than it may take."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return super().get(block, deadline.left(inf if timeout is None else timeout))


class Pool(QueuePool):
    __module__ = QueuePool.__module__  # after which SQLAlchemy names its logger: what it tells is not of this service
    _queue_class = Waiting


class Session(orm.Session):
    """Ends without an error. At the end of a request that would replace the answer by a bare page of gunicorn."""

    def close(self) -> None:
        try:
            super().close()
        except DBAPIError as error:
            logging.getLogger(__name__).warning("The connection was lost after the last query: %s", error)
            self.invalidate()


db = SQLAlchemy(
    engine_options={"hide_parameters": True}, session_options={"class_": Session, "expire_on_commit": False}
)


class Migrations(Alembic):
    """One at a time. SQLite has a lock for that anyway."""

    def run_migrations(self, *args: Any, **kwargs: Any) -> None:
        connection = self.migration_context.connection
        if connection and connection.dialect.name == "sqlite":
            # To change a table it is copied and dropped, and with it whatever refers to it.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        elif connection:
            connection.execute(text("SELECT pg_advisory_lock(hashtext('alembic_version'))"))
            connection.commit()
        super().run_migrations(*args, **kwargs)


alembic = Migrations(metadatas=Model.metadata, run_mkdir=False, command_name="")


def init_app(app: Flask) -> None:
    """
    :raises SystemExit: the folder of an SQLite database cannot be made.
    """
    url = make_url(app.config["DATABASE_URL"])
    app.config["SQLALCHEMY_ENGINES"] = {"default": {"url": url, **_engine_options(app.config, url)}}
    app.config["ALEMBIC"] = {"script_location": os.path.abspath("migrations")}
    app.config["ALEMBIC_CONTEXT"] = {
        "transactional_ddl": True,  # SQLite too can roll back a migration that fails,
        "render_as_batch": True,  # and changes a table by copying it
        "render_item": _render_type,
    }
    try:
        db.init_app(app)
    except OSError as error:
        raise SystemExit(f"DATABASE_URL: the folder {app.instance_path} cannot be made: {error.strerror}") from None
    alembic.init_app(app)
    app.cli.add_command(Commands("db", commands=cli.commands, callback=cli.callback, help="Migrate the database."))
    # Nothing here is asynchronous, and Flask would start an event loop at the end of each request to find that out.
    app.teardown_appcontext_funcs = [f for f in app.teardown_appcontext_funcs if not inspect.iscoroutinefunction(f)]
    app.extensions["disk"] = disk = Disk()
    with app.app_context():
        _listen(db.engine, app.config["DATABASE_LOCK_TIMEOUT"], disk)


def _render_type(kind: str, item: object, _: object) -> str | Literal[False]:
    """A migration is to work without the code of its day, so it names no type of ours. False: as Alembic likes."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def _engine_options(config: dict[str, Any], url: URL) -> dict[str, Any]:
    """Every wait has an end, that of a request too, see :mod:`deadline`. Seconds; connections of each process."""
    lock, statement = config["DATABASE_LOCK_TIMEOUT"], config["DATABASE_STATEMENT_TIMEOUT"]
    size, wait = config["DATABASE_POOL_SIZE"], config["DATABASE_POOL_TIMEOUT"]
    pool = {"poolclass": Pool, "pool_size": size, "max_overflow": 0, "pool_timeout": wait}
    if url.get_backend_name() == "sqlite":
        return {**pool, "connect_args": {"timeout": lock}}
    timeouts = f"-c timezone=UTC -c statement_timeout={statement}s -c lock_timeout={lock}s"
    reach = config["DATABASE_CONNECT_TIMEOUT"]
    # The other machine may be gone without a word. TCP alone would wait a quarter of an hour for it.
    gone = {"tcp_user_timeout": reach * 1000, "keepalives_idle": reach, "keepalives_interval": 1}
    connect = {"connect_timeout": reach, "options": timeouts, **gone}
    return {**pool, "pool_pre_ping": True, "connect_args": connect}


def _listen(engine: Engine, lock_timeout: int, disk: "Disk") -> None:
    event.listen(engine, "handle_error", _hide)
    event.listen(engine, "handle_error", disk.hear)
    event.listen(engine, "commit", disk.forget)
    event.listen(engine, "before_cursor_execute", lambda *_: deadline.check())
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection, lock_timeout))
        event.listen(engine, "begin", lambda connection: _begin_sqlite(connection, lock_timeout))
    else:
        from .postgresql import connect  # who has SQLite need not load the driver

        event.listen(engine, "do_connect", connect)
        event.listen(engine, "begin", _begin_postgresql)


def _prepare_sqlite(connection: Any, lock_timeout: int) -> None:
    connection.isolation_level = None  # the driver begins no transaction of its own
    _be_patient(connection, lock_timeout)
    connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
    connection.execute("PRAGMA foreign_keys = ON")
    connection.set_progress_handler(deadline.has_passed, 10_000)  # every so many steps it may end a statement


def _be_patient(connection: Any, lock_timeout: int) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(deadline.left(lock_timeout) * 1000)}")


def _begin_sqlite(connection: Connection, lock_timeout: int) -> None:
    """What may write takes the one lock at once, and so waits its turn; taken later, it would fail as locked."""
    safe = has_request_context() and request.method in SAFE_METHODS
    only_reads = connection.get_execution_options().get("only_reads", safe)
    _be_patient(connection.connection.driver_connection, lock_timeout)
    if only_reads:
        connection.connection.cursor().execute("BEGIN")  # cannot fail, and so goes the short way
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    """A command, such as a migration, may take its time."""
    if not has_request_context():
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _hide(context: ExceptionContext) -> None:
    """No SQL and no value in an exception, and so neither in the log nor in Sentry. ``hide_parameters`` hides less."""
    if error := context.sqlalchemy_exception:
        context.original_exception.args = error.args = (_told(error),)
        error.statement = None


def _told(error: StatementError) -> str:
    """What may be told of an error: its code, and its message if such messages are known to be harmless."""
    code, message = _code(error.orig), str(error.orig)
    unreached = not code and isinstance(error, OperationalError)
    if code.startswith(HARMLESS) or unreached or message.startswith(("no such table: ", "Cannot add a ")):
        return " ".join([code, *message.splitlines()[:1]]).strip()
    return f"{code} (the message may hold values, so it is hidden)".strip()


def _code(error: BaseException | None) -> str:
    """SQLSTATE, or the name of SQLite's result code; "" for an error that has neither."""
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or ""


def is_unique_violation(error: DBAPIError) -> bool:
    """Whether there is such a row already."""
    return _code(error.orig).startswith(UNIQUE)


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and _code(error.orig).startswith(CONFLICT)


def transaction(work: Callable[P, R]) -> Callable[P, R]:
    """Run a function as one transaction: committed when it returns, rolled back when it raises.

    After a deadlock or a serialization failure it is run again, up to 3 times. So it must be safe to run twice:
    it writes to the database and nowhere else, and sends nothing.

    :raises InvalidRequestError: a transaction is under way already, of which this would be only a part.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in stamina.retry_context(on=_is_conflict, attempts=4, wait_initial=0.05, wait_max=0.5):
            with attempt, db.session.begin():
                result = work(*args, **kwargs)
        return result

    return run


@errors.explain.register
def _(error: DBAPIError) -> HTTPException | None:
    """None for a bug."""
    code = _code(error.orig)
    if code.startswith(FULL):
        return errors.InsufficientStorage()
    if code.startswith(FAILING):
        return errors.StorageError()
    if code.startswith(UNIQUE):
        return Conflict()
    # Without a code: PostgreSQL was not reached, or got lost.
    lost = error.connection_invalidated or (isinstance(error, OperationalError) and not code)
    return errors.overloaded() if lost or code.startswith(UNAVAILABLE) else None


@errors.explain.register
def _(error: PoolTimeout) -> HTTPException:
    return errors.overloaded()


def trouble() -> str | None:
    """Why requests that need the database cannot be served, as a sentence for the log; None when they can."""
    try:
        with deadline.within(PROBE):
            current = _current_revisions()
    except (SQLAlchemyError, deadline.DeadlineError) as error:
        return f"The database does not answer: {error}"
    known = {script.revision for script in alembic.script_directory.walk_revisions()}
    if current <= known and current != set(alembic.script_directory.get_heads()):
        return "The schema of the database is behind the code. Run: flask db upgrade"
    # A revision that is not known here is of newer code, which is being deployed.
    disk: Disk = current_app.extensions["disk"]
    return disk.trouble()


class Disk:
    """Of the database, as far as its errors tell: one that takes no writes may still be read."""

    def __init__(self) -> None:
        self._code, self._until = "", 0.0

    def hear(self, context: ExceptionContext) -> None:
        code = _code(context.original_exception)
        if code.startswith(FAILING) and not code.startswith(FULL):
            self._code, self._until = code, monotonic() + DOUBT

    def forget(self, _: Connection) -> None:
        """Something is stored. If that fails, it is heard of next."""
        self._until = 0.0

    def trouble(self) -> str | None:
        return f"The disk of the database fails: {self._code}" if monotonic() < self._until else None


def _current_revisions() -> set[str]:
    if not inspect_database(db.session.connection()).has_table("alembic_version"):
        return set()
    return set(db.session.scalars(text("SELECT version_num FROM alembic_version")))


class Commands(AppGroup):
    """A group of commands that tells in one sentence what the database refuses."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SQLAlchemyError as error:
            message = f"The database refuses: {error.args[0]}. Look at DATABASE_URL, or run: flask db upgrade"
            raise click.ClickException(message) from error
