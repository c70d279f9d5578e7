"""Database errors: map them to HTTP errors, and remove SQL and values from them.

An error is recognised by its SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or by the name
of its SQLite result code (https://www.sqlite.org/rescode.html). The tables hold codes or their beginnings.
"""

from typing import Any

import click
from alembic.util import CommandError
from flask.cli import AppGroup
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import Conflict, HTTPException

from ... import errors

CONFLICT = ("40001", "40P01", "SQLITE_BUSY_SNAPSHOT")  # deadlock: the transaction may succeed when it is run again
UNIQUE = ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")  # such a row exists
FULL = ("53100", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")  # the disk is full
# The disk fails or is read-only, or the data is corrupt.
FAILING = ("58", "XX001", "XX002", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB")
# Locked, disconnected, shut down, out of connections or memory, or stopped by a timeout.
UNAVAILABLE: tuple[str, ...] = (*CONFLICT, "08", "25P03", "25P04", "53", "55P03", "57", "SQLITE_BUSY", "SQLITE_LOCKED")
UNAVAILABLE += ("SQLITE_PROTOCOL", "SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_INTERRUPT")
# Errors whose messages contain neither SQL nor values.
HARMLESS = (*UNAVAILABLE, *FULL, "25", "42P01", "58", "SQLITE_CONSTRAINT", "SQLITE_IOERR", "SQLITE_READONLY")


def is_conflict(error: Exception) -> bool:
    """Return whether the error is a deadlock or a serialization failure."""
    return isinstance(error, DBAPIError) and _code(error.orig).startswith(CONFLICT)


def redact(context: ExceptionContext) -> None:
    """Remove SQL and values from an exception. ``hide_parameters`` leaves the SQL, and the message of the driver."""
    if error := context.sqlalchemy_exception:
        context.original_exception.args = error.args = (_safe_message(error),)
        error.statement = None


def _safe_message(error: StatementError) -> str:
    """Return the error code, and the message if it cannot contain values."""
    code = _code(error.orig)
    connection_failed = not code and isinstance(error, OperationalError)
    if code.startswith(HARMLESS) or connection_failed or str(error.orig).startswith("no such table: "):
        return " ".join([code, *str(error.orig).splitlines()[:1]]).strip()
    return f"{code} (message hidden, because it may contain values)".strip()


def _code(error: BaseException | None) -> str:
    """Return the SQLSTATE or the name of the SQLite result code, or ``""`` if the error has neither."""
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or ""


@errors.to_http_error.register
def _(error: DBAPIError) -> HTTPException | None:
    code = _code(error.orig)
    if code.startswith(FULL):
        return errors.InsufficientStorage()
    if code.startswith(FAILING):
        return errors.StorageError()
    if code.startswith(UNIQUE):
        return Conflict()
    # PostgreSQL errors without a code: the connection failed or was lost.
    disconnected = error.connection_invalidated or (isinstance(error, OperationalError) and not code)
    return errors.service_unavailable() if disconnected or code.startswith(UNAVAILABLE) else None


@errors.to_http_error.register
def _(error: PoolTimeout) -> HTTPException:
    return errors.service_unavailable()


class DatabaseGroup(AppGroup):
    """A group of commands that prints a database error as one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SQLAlchemyError, CommandError) as error:
            message = str(error.args[0]).rstrip(".") + ". Check DATABASE_URL, or run: flask db upgrade"
            raise click.ClickException(f"Database error: {message}") from error
