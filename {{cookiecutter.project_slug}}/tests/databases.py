"""Databases to test on: SQLite in a file, or those of the PostgreSQL server that TEST_DATABASE_URL names."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import create_engine, make_url

from {{ cookiecutter.__package }}.config import Settings
from {{ cookiecutter.__package }}.database import db

SERVER_URL = os.environ.get("TEST_DATABASE_URL", "")
"""Of the PostgreSQL server to test on; blank where there is none."""


@contextmanager
def fresh_database(folder: Path, server_url: str = SERVER_URL) -> Iterator[str]:
    """The URL of an empty database: SQLite in this folder, or on the PostgreSQL server. It is dropped at the end.

    On PostgreSQL the user of the URL must be allowed to create databases.
    """
    if not server_url:
        yield f"sqlite:///{folder}/{secrets.token_hex(8)}.db"
        return
    server = make_url(Settings(SECRET_KEY="test", DATABASE_URL=server_url).DATABASE_URL)
    name = f"test_{secrets.token_hex(8)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@contextmanager
def rolled_back(app: Flask) -> Iterator[Flask]:
    """Whatever the application commits stays within one transaction, which is rolled back at the end."""
    with app.app_context():
        engine, sessionmaker = db.engine, db.sessionmaker
    with engine.connect() as connection, connection.begin() as transaction:
        sessionmaker.configure(bind=connection, join_transaction_mode="create_savepoint")
        yield app
        transaction.rollback()
    engine.dispose()
