"""The database: engine, session, transactions.

``db.session`` belongs to the application context. Changes that are not committed are rolled back at its end.
https://flask-sqlalchemy-lite.readthedocs.io
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

import click
import stamina
from flask import Flask
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import URL, Connection, DateTime, Dialect, MetaData, TypeDecorator, event, make_url, orm
from sqlalchemy.exc import ArgumentError, DBAPIError

from .. import health
from . import migrations
from .errors import DatabaseGroup as DatabaseGroup
from .errors import is_conflict, redact

P = ParamSpec("P")
R = TypeVar("R")

# Timeouts in seconds, one for each resource. Their sum is below the 60 seconds that a proxy usually waits.
POOL_TIMEOUT = 5  # until a connection of the pool is free
CONNECT_TIMEOUT = 5  # until PostgreSQL accepts a connection, or acknowledges data
LOCK_TIMEOUT = 5  # until a lock is free
STATEMENT_TIMEOUT = 10  # of a statement on PostgreSQL; flask commands have no limit

# Names of constraints: a migration needs the name of a constraint to change it.
NAMES = {kind: f"{kind}_%(table_name)s_%(column_0_N_name)s" for kind in ("ix", "uq", "fk")}
NAMES |= {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}


class Model(orm.DeclarativeBase):
    """Base class of the tables."""

    metadata = MetaData(naming_convention=NAMES)


class UTCDateTime(TypeDecorator[datetime]):
    """A date and time in UTC. SQLite alone would return it without a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Session(orm.Session):
    """A session whose ``close()`` does not raise. An exception in teardown would replace the response."""

    def close(self) -> None:
        try:
            super().close()
        except DBAPIError as error:
            logging.getLogger(__name__).warning("Database connection lost after the last query: %s", error)
            self.invalidate()


db = SQLAlchemy(session_options={"class_": Session, "expire_on_commit": False})


def database_url(value: str) -> str:
    """Return a database URL with the name of the installed driver. Raise ValueError if it is not supported."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite") and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite").render_as_string(hide_password=False)
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    raise ValueError("neither SQLite in a file nor PostgreSQL")


def init_app(app: Flask) -> None:
    """Set up the engine, the session, migrations with ``flask db``, and the health check."""
    default = _engine_options(make_url(app.config["DATABASE_URL"]), app.debug)
    app.config["SQLALCHEMY_ENGINES"] = {"default": default, **app.config.get("SQLALCHEMY_ENGINES", {})}
    try:
        db.init_app(app)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SystemExit(f"DATABASE_URL: the folder {app.instance_path} cannot be created: {reason}") from None
    _remove_async_teardown(app)
    with app.app_context():
        for engine in db.engines.values():
            if engine.dialect.name == "sqlite":
                event.listen(engine, "connect", _connect_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
            if not app.debug:
                event.listen(engine, "handle_error", redact)
    migrations.init_app(app, Model.metadata)
    health.register_check(app, migrations.check)


def _engine_options(url: URL, debug: bool) -> dict[str, Any]:
    """Return the options of the engine. Parameters in the URL, such as ``?connect_timeout=2``, win."""
    connect_args: dict[str, Any] = {"timeout": LOCK_TIMEOUT}
    if url.get_backend_name() == "postgresql":
        statement_timeout = 0 if click.get_current_context(silent=True) else STATEMENT_TIMEOUT
        connect_args = {
            "client_encoding": "utf8",
            "options": f"-c timezone=UTC -c statement_timeout={statement_timeout}s -c lock_timeout={LOCK_TIMEOUT}s",
            "connect_timeout": CONNECT_TIMEOUT,
            # Without these, TCP waits 15 minutes for a server that has disappeared.
            "tcp_user_timeout": CONNECT_TIMEOUT * 1000,
            "keepalives_idle": CONNECT_TIMEOUT,
            "keepalives_interval": 1,
        }
    return {
        "url": url,
        "pool_size": 5,  # connections of each worker process, at most; a worker has 4 threads
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT,
        "pool_pre_ping": True,
        "hide_parameters": not debug,
        "connect_args": {name: value for name, value in connect_args.items() if name not in url.query},
    }


def _remove_async_teardown(app: Flask) -> None:
    """Remove the teardown function for asynchronous sessions. Flask starts an event loop for it, which takes 1 ms."""
    if not app.config.get("SQLALCHEMY_ASYNC_ENGINES"):
        app.teardown_appcontext_funcs = [
            each
            for each in app.teardown_appcontext_funcs
            if not (iscoroutinefunction(each) and each.__module__.startswith("flask_sqlalchemy_lite"))
        ]


def _connect_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions; _begin_sqlite does
    connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
    connection.execute("PRAGMA synchronous = NORMAL")  # safe with WAL
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction. One that reads and then writes fails as locked if another one has written meanwhile."""
    writes = connection.get_execution_options().get("sqlite_immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def transaction(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function in a transaction of ``db.session``: commit when it returns, roll back when it raises.

    After a deadlock or a serialization failure the function is run again, up to 3 times. It must be safe to run
    twice: it writes to the database only, and sends nothing.

    Within another ``@transaction`` the function joins that transaction. If the session has begun a transaction
    already, for example to load the user, that transaction is used and committed, without retry.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if db.session.info.get("in_transaction"):
            return function(*args, **kwargs)
        attempts = 1 if db.session.in_transaction() else 4
        for attempt in stamina.retry_context(on=is_conflict, attempts=attempts, wait_initial=0.05, wait_max=0.5):
            with attempt, _transaction(db.session):
                result = function(*args, **kwargs)
        return result

    return run


@contextmanager
def _transaction(session: orm.Session) -> Iterator[None]:
    session.info["in_transaction"] = True
    try:
        if not session.in_transaction():
            session.connection(execution_options={"sqlite_immediate": True})
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        del session.info["in_transaction"]
