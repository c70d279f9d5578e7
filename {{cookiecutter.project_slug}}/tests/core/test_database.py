"""Migrations, transactions, and database errors."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import stamina
from click.testing import Result
from conftest import MakeApp
from databases import create_database
from flask import Flask, abort
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from {{ cookiecutter.__package }} import errors
from {{ cookiecutter.__package }}.core.database import DatabaseGroup, db, transaction
from {{ cookiecutter.__package }}.core.database.migrations import alembic

INSERT = "INSERT INTO things (name) VALUES ('first')"


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The application, with a table for the tests."""
    app = make_app()
    with app.app_context():
        db.session.execute(text("CREATE TABLE things (name VARCHAR(9) NOT NULL UNIQUE)"))
        db.session.commit()
    return app


@pytest.fixture
def empty(make_app: MakeApp, tmp_path: Path) -> Iterator[Flask]:
    """The application on an empty database."""
    with create_database(tmp_path) as url:
        yield make_app(DATABASE_URL=url)


def count(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(text("SELECT count(*) FROM things")) or 0


def run(app: Flask, *args: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=args)


def database_error(code: str) -> DBAPIError:
    """Return an error with an SQLSTATE of PostgreSQL or the name of an SQLite result code."""
    attribute = "sqlite_errorname" if code.startswith("SQLITE") else "sqlstate"
    original = type("DriverError", (Exception,), {attribute: code})()
    return DBAPIError(None, None, original)


def test_migrations_create_the_tables_of_the_models(empty: Flask) -> None:
    for _ in range(2):
        assert run(empty, "db", "upgrade").exit_code == 0
        with empty.app_context():
            differences = alembic.compare_metadata()
        # A table without a model is harmless, for example after an example is removed.
        assert [each for each in differences if isinstance(each, list) or not each[0].startswith("remove_")] == []
        assert run(empty, "db", "downgrade", "base").exit_code == 0


def test_migration_that_fails_changes_nothing(empty: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("failed")

    with empty.app_context(), monkeypatch.context() as patch:
        migration = alembic.script_directory.get_revision("heads").module
        upgrade = migration.upgrade
        patch.setattr(migration, "upgrade", lambda: [upgrade(), fail()])
        with pytest.raises(RuntimeError, match="failed"):
            alembic.upgrade()
    assert run(empty, "db", "upgrade").exit_code == 0


def test_service_is_not_ready_until_the_schema_is_up_to_date(empty: Flask, caplog: pytest.LogCaptureFixture) -> None:
    client = empty.test_client()
    assert client.get("/readyz").status_code == 503
    assert "Run: flask db upgrade" in caplog.text
    run(empty, "db", "upgrade")
    assert client.get("/readyz").status_code == 200


def test_changes_are_rolled_back_when_a_view_fails(app: Flask, client: FlaskClient) -> None:
    @app.post("/<how>")
    @transaction
    def fail(how: str) -> NoReturn:
        db.session.execute(text(INSERT))
        raise RuntimeError if how == "raise" else abort(418)

    assert client.post("/raise").status_code == 500
    assert client.post("/abort").status_code == 418
    assert count(app) == 0


def test_transaction_is_committed_when_the_function_returns(app: Flask) -> None:
    @transaction
    def insert() -> None:
        db.session.execute(text(INSERT))

    @transaction
    def insert_and_fail() -> None:
        insert()  # joins this transaction
        raise RuntimeError

    with app.app_context():
        with pytest.raises(RuntimeError):
            insert_and_fail()
        assert count(app) == 0
        insert()
    assert count(app) == 1


def test_transaction_is_retried_after_a_conflict(app: Flask) -> None:
    runs: list[int] = []

    @transaction
    def insert(conflicts: int) -> None:
        runs.append(conflicts)
        db.session.execute(text(INSERT))
        if len(runs) <= conflicts:
            raise database_error("40P01")

    with app.app_context(), stamina.set_testing(True, attempts=4):
        insert(2)
    assert (len(runs), count(app)) == (3, 1)


def test_conflict_that_remains_is_503(app: Flask, client: FlaskClient) -> None:
    runs: list[int] = []

    @app.post("/")
    @transaction
    def conflict() -> NoReturn:
        runs.append(1)
        raise database_error("40001")

    with stamina.set_testing(True, attempts=4):
        response = client.post("/")
    assert response.status_code == 503
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert len(runs) == 4


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (409, ["23505", "SQLITE_CONSTRAINT_UNIQUE"]),
        (None, ["23502", "42P01", "SQLITE_CONSTRAINT_NOTNULL", "SQLITE_ERROR"]),
        (507, ["53100", "SQLITE_FULL"]),
        (500, ["58030", "SQLITE_IOERR"]),
        (503, ["57P01", "40001", "SQLITE_BUSY"]),
    ],
)
def test_database_error_has_the_status_of_its_cause(status: int | None, codes: list[str]) -> None:
    for code in codes:
        error = errors.classify(database_error(code))
        assert (error and error.code) == status, code


def test_duplicate_row_is_409_and_not_an_error_in_the_log(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.post("/things")
    @transaction
    def insert_twice() -> str:
        for _ in range(2):
            db.session.execute(text(INSERT))
        return "stored"

    caplog.set_level("INFO", app.name)
    assert client.post("/things").status_code == 409
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]


def test_sql_and_values_are_not_logged(app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    statements = {
        "syntax": "SELEKT 'secret'",
        "unique": "INSERT INTO things (name) VALUES ('secret'), ('secret')",
        "column": "SELECT secret FROM things",
        "null": "INSERT INTO things (name) VALUES (:value || NULL)",
    }

    @app.get("/<kind>")
    def execute(kind: str) -> str:
        values = {"value": "secret"} if kind == "null" else {}
        return str(db.session.execute(text(statements[kind]), values))

    caplog.set_level("INFO", app.name)
    for kind in statements:
        assert client.get(f"/{kind}").status_code in (409, 500)
    assert len(caplog.records) == len(statements)
    logged = "".join(logging.Formatter("%(message)s").format(record) for record in caplog.records)
    for hidden in ("secret", "SELEKT", "INSERT"):
        assert hidden not in without_source_lines(logged)


def without_source_lines(traceback: str) -> str:
    return "".join(line for line in traceback.splitlines(keepends=True) if not line.startswith("    "))


def test_command_prints_a_database_error_as_one_sentence(empty: Flask) -> None:
    things = DatabaseGroup("things")
    empty.cli.add_command(things)

    @things.command("count")
    def count_things() -> None:
        db.session.scalar(text("SELECT count(*) FROM things"))

    result = run(empty, "things", "count")
    assert result.exit_code == 1
    assert result.output.startswith("Error: Database error: ")
    assert result.output.endswith(". Check DATABASE_URL, or run: flask db upgrade\n")
    assert result.output.count("\n") == 1
