"""Databases for the tests: SQLite files, or databases on the PostgreSQL server of ``TEST_DATABASE_URL``."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url

from {{ cookiecutter.__package }}.core.database import database_url

SERVER_URL = os.environ.get("TEST_DATABASE_URL", "")
"""URL of a PostgreSQL server. Its user must be allowed to create databases."""


@contextmanager
def create_database(folder: Path, template: str | None = None) -> Iterator[str]:
    """Create a database, yield its URL, and drop the database at the end.

    :param folder: folder of the SQLite file.
    :param template: URL of a database to copy. Nothing may be connected to it.
    """
    name = f"test_{secrets.token_hex(8)}"
    if not SERVER_URL:
        path = folder / f"{name}.db"
        if template:
            shutil.copy(template.removeprefix("sqlite:///"), path)
        yield f"sqlite:///{path}"
        return
    server = make_url(database_url(SERVER_URL))
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        source = make_url(template).database if template else "template1"
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {source}")
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()
