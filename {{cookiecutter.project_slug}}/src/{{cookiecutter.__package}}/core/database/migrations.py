"""Migrations in the folder ``migrations`` of the project, and the commands ``flask db``.

https://flask-alembic.readthedocs.io
"""

import os
from functools import cache
from typing import Any, Literal

from flask import Flask, current_app
from flask_alembic import Alembic
from flask_alembic.cli import cli
from sqlalchemy import MetaData, TypeDecorator, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from .errors import DatabaseGroup


class Migrations(Alembic):
    """Run migrations one process at a time."""

    def run_migrations(self, *args: Any, **kwargs: Any) -> None:
        connection = self.migration_context.connection
        assert connection is not None
        connection.rollback()  # end a transaction that was begun by reading; PRAGMA would be ignored in it
        # Flask-Alembic closes the connection when the application context ends. Its settings and its lock end with it.
        if connection.dialect.name == "sqlite":
            # Tables are changed by copying and dropping them. That would delete the rows that refer to them.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
            connection.execution_options(sqlite_immediate=True)
        else:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # another migration may take its time
            connection.execute(text("SELECT pg_advisory_lock(hashtext('alembic_version'))"))
            connection.commit()
        super().run_migrations(*args, **kwargs)


alembic = Migrations(run_mkdir=False, command_name="")


def init_app(app: Flask, metadata: MetaData) -> None:
    """Set up migrations to the tables in ``metadata``, and add the commands ``flask db``."""
    app.config["ALEMBIC"] = {"script_location": os.path.abspath("migrations"), **app.config.get("ALEMBIC", {})}
    app.config["ALEMBIC_CONTEXT"] = {
        "transactional_ddl": True,  # SQLite too can roll back changes of tables
        "render_as_batch": True,  # SQLite cannot alter most constraints, so tables are copied
        "render_item": _render_type,
        **app.config.get("ALEMBIC_CONTEXT", {}),
    }
    alembic.metadatas = {"default": metadata}
    alembic.init_app(app)
    app.cli.add_command(DatabaseGroup("db", commands=cli.commands, callback=cli.callback, help="Migrate the database."))


def _render_type(kind: str, item: object, _: object) -> str | Literal[False]:
    """Render a type of the project as the SQLAlchemy type that stores it. A migration must work without the project."""
    if kind == "type" and isinstance(item, TypeDecorator) and not type(item).__module__.startswith("sqlalchemy."):
        return f"sa.{item.impl!r}"
    return False


def check() -> str | None:
    """Return why the database cannot be used, or ``None`` if it answers and its schema is up to date."""
    session = current_app.extensions["sqlalchemy"].session
    known, heads = _revisions()
    current: set[str] = set()
    try:
        if inspect(session.connection()).has_table("alembic_version"):  # Alembic would log two lines each time
            current = set(session.scalars(text("SELECT version_num FROM alembic_version")))
    except SQLAlchemyError as error:
        return f"The database does not answer: {error.args[0]}. Start it, or correct DATABASE_URL."
    # An unknown revision is of newer code, which is being deployed.
    if current <= known and current != heads:
        return "The schema of the database is behind the code. Run: flask db upgrade"
    return None


@cache
def _revisions() -> tuple[set[str], set[str]]:
    """Return all revisions and the newest ones in the folder. They are read once."""
    scripts = alembic.script_directory
    return {script.revision for script in scripts.walk_revisions()}, set(scripts.get_heads())
