"""Migrations, transactions, and what the exceptions of the database mean. On fresh databases of their own."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import Result
from databases import fresh_database
from flask import Flask, abort
from flask.testing import FlaskClient
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from {{ cookiecutter.__package }} import create_app, posts
from {{ cookiecutter.__package }}.config import Settings
from {{ cookiecutter.__package }}.database import alembic, db, transaction

DRAFT = posts.Draft(title="Stored", body="x")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Flask]:
    """The service on an empty database."""
    with fresh_database(tmp_path) as url:
        app = create_app(Settings(SECRET_KEY="test", DATABASE_URL=url))
        yield app
        with app.app_context():
            db.engine.dispose()


def run(app: Flask, *args: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=args)


def test_migrations_lead_to_the_models_and_back(empty: Flask) -> None:
    for _ in range(2):
        assert run(empty, "db", "upgrade").exit_code == 0
        assert run(empty, "db", "check").exit_code == 0
        assert run(empty, "db", "downgrade", "base").exit_code == 0
    assert run(empty, "db", "check").exit_code == 1


def test_failed_migration_leaves_nothing(empty: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError

    with empty.app_context(), monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_index", fail)
        with pytest.raises(RuntimeError):
            alembic.upgrade()
    assert run(empty, "db", "upgrade").exit_code == 0


def test_schema_that_is_behind_is_not_ready_and_the_log_says_what_to_do(
    empty: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    response = empty.test_client().get("/readyz")
    assert (response.status_code, response.text) == (503, "not ready\n")
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert "Run: flask db upgrade" in caplog.text
    assert empty.test_client().get("/healthz").status_code == 200
    run(empty, "db", "upgrade")
    assert empty.test_client().get("/readyz").status_code == 200


def test_schema_of_newer_code_is_ready(app: Flask) -> None:
    with app.app_context(), db.session.begin():
        db.session.execute(text("UPDATE alembic_version SET version_num = 'newer'"))
    assert app.test_client().get("/readyz").status_code == 200


def test_command_on_a_missing_schema_says_what_to_do(empty: Flask) -> None:
    result = run(empty, "tokens", "list")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The database refuses: ")
    assert result.output.endswith(" Look at DATABASE_URL, or run: flask db upgrade\n")
    assert len(result.output.splitlines()) == 1


def test_missing_table_is_a_bug(empty: Flask, caplog: pytest.LogCaptureFixture) -> None:
    empty.add_url_rule("/posts", view_func=lambda: str(posts.page(10)))
    assert empty.test_client().get("/posts").status_code == 500
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "SELECT" not in caplog.text


def test_crash_and_abort_leave_nothing_behind(app: Flask, client: FlaskClient) -> None:
    @app.post("/<how>")
    def fail(how: str) -> NoReturn:
        posts.add(DRAFT)
        raise RuntimeError if how == "crash" else abort(409)

    assert client.post("/crash").status_code == 500
    assert client.post("/abort").status_code == 409
    with app.app_context():
        assert posts.by_slug("stored") is None


def test_failed_flush_does_not_spoil_the_next_request(app: Flask, client: FlaskClient) -> None:
    @app.post("/")
    @transaction
    def fail() -> NoReturn:
        with pytest.raises(IntegrityError):
            db.session.execute(text("INSERT INTO posts (slug) VALUES ('x')"))
        abort(418)

    assert client.post("/").status_code == 418
    assert client.get("/readyz").status_code == 200


def test_error_pages_do_not_ask_the_database(app: Flask, client: FlaskClient) -> None:
    @app.get("/crash")
    def crash() -> NoReturn:
        raise RuntimeError

    asked: list[object] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *_: asked.append(_))
    for url in ("/crash", "/unknown"):
        for accept in ("text/html", "application/json"):
            assert client.get(url, headers={"Accept": accept}).status_code >= 400
    assert asked == []


def test_unique_violation_is_409(app: Flask, client: FlaskClient) -> None:
    @app.post("/twice")
    @transaction
    def twice() -> str:
        for _ in range(2):
            db.session.execute(text("INSERT INTO alembic_version VALUES ('same')"))
        return "stored"

    assert client.post("/twice").status_code == 409


def test_neither_sql_nor_values_are_in_an_exception(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.post("/<kind>")
    def fail(kind: str) -> str:
        statement = {
            "syntax": "SELEKT 'precious'",
            "unique": "INSERT INTO alembic_version VALUES ('precious'), ('precious')",
            "column": "SELECT precious FROM posts",
            "type": "SELECT CAST(:value AS INTEGER) + nothing",
        }[kind]
        return str(db.session.scalar(text(statement), {"value": "precious"} if kind == "type" else {}))

    for kind in ("syntax", "unique", "column", "type"):
        assert client.post(f"/{kind}").status_code in (409, 500)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    logged = "".join(logging.Formatter().format(record) for record in caplog.records)
    assert "sqlalchemy.exc." in logged
    for secret in ("precious", "SELEKT", "INSERT INTO"):
        assert secret not in "".join(line for line in logged.splitlines(True) if not line.startswith("    "))


def test_transaction_is_run_again_after_a_conflict(app: Flask) -> None:
    runs = []

    @transaction
    def work(conflicts: int) -> str:
        runs.append(conflicts)
        posts.add(DRAFT)
        if len(runs) <= conflicts:
            raise DBAPIError(None, None, type("Deadlock", (Exception,), {"sqlstate": "40P01"})())
        return "stored"

    with app.app_context():
        assert work(3) == "stored"
        assert len(runs) == 4
        assert posts.by_slug("stored")


def test_transaction_gives_up_after_the_third_time(app: Flask, client: FlaskClient) -> None:
    runs = []

    @app.post("/")
    @transaction
    def work() -> NoReturn:
        runs.append(1)
        raise DBAPIError(None, None, type("Deadlock", (Exception,), {"sqlstate": "40001"})())

    response = client.post("/")
    assert response.status_code == 503
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert len(runs) == 4
