"""The database of a project: its tests on both kinds, migrations, connections."""

import os
import random
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from conftest import UV, Bake, Serve, flask, install, user_environment
from servers import Postgres


@dataclass(frozen=True)
class Database:
    url: str
    sql: Callable[[str], str]
    """Function that runs a statement and returns a line for each row, with | between columns."""

    @property
    def schema(self) -> str:
        if self.url.startswith("sqlite"):
            return self.sql("SELECT name, sql FROM sqlite_master ORDER BY name")
        columns = "table_name, column_name, data_type, character_maximum_length"
        return self.sql(f"SELECT {columns} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        file = tmp_path / "empty.db"
        return Database(f"sqlite:///{file}", partial(sqlite, file))
    return on(request.getfixturevalue("postgres"))


def on(server: Postgres) -> Database:
    url = server.database()
    return Database(url, partial(server.psql, url))


def sqlite(file: Path, statement: str) -> str:
    with closing(sqlite3.connect(file)) as connection, connection:
        return "".join("|".join(map(str, row)) + "\n" for row in connection.execute(statement))


@pytest.fixture
def mine(bake: Bake, project: Path) -> Path:
    """A project to change, with the packages of the installed one. Run its commands with ``run``."""
    made = bake()
    (made / ".venv").symlink_to(project / ".venv")
    return made


def run(mine: Path, database: Database, *command: str, **settings: str) -> str:
    return flask(mine, *command, PYTHONPATH=str(mine / "src"), DATABASE_URL=database.url, **settings)


# The generated tests


def seed() -> str:
    chosen = f"--randomly-seed={random.randrange(2**32)}"
    print(chosen)
    return chosen


def run_tests(project: Path, folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [project / ".venv/bin/pytest", "-p", "no:cacheprovider", "--basetemp", folder / "tests", *options]
    environment = user_environment(PYTHONDONTWRITEBYTECODE="1", **settings)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=200)


SERVER = """
SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles
UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one process", "two processes"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_generated_tests_pass_in_any_order_and_leave_no_database(
    mine: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, processes: tuple[str, ...]
) -> None:
    """In a project of its own: other tests use the shared one at the same time."""
    database = on(request.getfixturevalue("postgres")) if kind == "postgres" else None
    settings = {"PYTHONPATH": str(mine / "src")} | ({"TEST_DATABASE_URL": database.url} if database else {})
    for _ in range(1 if processes else 2):
        before = database and database.sql(SERVER)
        done = run_tests(mine, tmp_path, *processes, seed(), **settings)
        assert re.search(r"^=+ \d+ passed in .*=+$", done.stdout.strip().splitlines()[-1]), done.stdout
        assert (database and database.sql(SERVER)) == before


def test_generated_tests_that_cannot_start_leave_no_database(mine: Path, tmp_path: Path, postgres: Postgres) -> None:
    add_migration(mine, "0002", "op.drop_table('unknown')")
    database = on(postgres)
    before = database.sql(SERVER)
    settings = {"TEST_DATABASE_URL": database.url, "PYTHONPATH": str(mine / "src")}
    assert run_tests(mine, tmp_path, "tests/test_blog.py", **settings).returncode == 1
    assert database.sql(SERVER) == before


# Migrations

MIGRATION = """
import time

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before:04}"
branch_labels = ()
depends_on = None


def upgrade() -> None:
    {upgrade}
"""


def add_migration(mine: Path, revision: str, *upgrade: str) -> None:
    script = MIGRATION.format(revision=revision, before=int(revision) - 1, upgrade="\n    ".join(upgrade))
    (mine / f"migrations/{revision}_mine.py").write_text(script)


LONGER_TITLE = 'with op.batch_alter_table("posts") as posts: posts.alter_column("title", type_=sa.String(300))'
"""SQLite has no ALTER COLUMN. Alembic copies the table, drops it, and renames the copy."""

INSERT_POST = "INSERT INTO posts (slug, title, body, published, version) VALUES ('{}', 'x', 'x', '2026-01-01 00:00', 1)"


def test_migrations_go_up_down_and_up_again(project: Path, database: Database) -> None:
    command = partial(flask, project, "db", DATABASE_URL=database.url)
    command("upgrade")
    assert command("check") == "No changes detected.\n"
    schema = database.schema
    command("downgrade", "base")
    assert "posts" not in database.schema
    with pytest.raises(RuntimeError, match="db check ended with 1"):
        command("check")
    command("upgrade")
    assert command("check") == "No changes detected.\n"
    assert database.schema == schema


COLUMNS = """
    subtitle: Mapped[str | None] = mapped_column(String(300))
    views: Mapped[int] = mapped_column(server_default="0")
    changed: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_read_by_anybody: Mapped[datetime] = mapped_column(UTCDateTime, server_default=func.now())
"""


def test_changed_model_becomes_a_migration_without_edits_by_hand(
    bake: Bake, database: Database, mypy_cache: Path
) -> None:
    mine, on_postgres = bake(), database.url.startswith("postgresql")
    install(mine)
    command = partial(flask, mine, "db", DATABASE_URL=database.url)
    command("upgrade")
    database.sql(INSERT_POST.format("kept"))
    model = mine / "src/my_service/posts.py"
    source = model.read_text().replace("from sqlalchemy import ", "from sqlalchemy import func, ")
    model.write_text(re.sub(r"    version: Mapped\[int\].*\n", rf"\g<0>{COLUMNS[1:]}", source))

    with pytest.raises(RuntimeError, match="db check ended with 1"):
        command("check")
    command("revision", "More of a post")
    command("upgrade")
    assert command("check") == "No changes detected.\n"
    assert database.sql("SELECT slug, views, subtitle IS NULL, last_read_by_anybody IS NULL FROM posts") in (
        "kept|0|1|0\n",
        "kept|0|t|f\n",
    )
    make(mine, "format")
    make(mine, "test", MYPY_CACHE_DIR=str(mypy_cache), TEST_DATABASE_URL=database.url if on_postgres else "")


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of mypy's cache, shared by the projects."""
    return tmp_path_factory.mktemp("mypy")


def make(project: Path, target: str, **settings: str) -> None:
    environment = user_environment(**settings, PATH=os.pathsep.join([str(UV.parent), os.environ["PATH"]]))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 200}
    done = subprocess.run(["make", target], cwd=project, env=environment, **options)
    assert done.returncode == 0, done.stdout


def test_failed_migration_changes_nothing(mine: Path, database: Database) -> None:
    run(mine, database, "db", "upgrade")
    database.sql(INSERT_POST.format("kept"))
    before = database.schema, database.sql("SELECT * FROM posts"), database.sql("SELECT * FROM alembic_version")
    add_migration(
        mine, "0002", 'op.create_table("half", sa.Column("id", sa.Integer()))', 'op.execute("DELETE FROM posts")'
    )
    add_migration(mine, "0003", LONGER_TITLE, 'op.drop_table("unknown")')
    with pytest.raises(RuntimeError, match="db upgrade ended with 1"):
        run(mine, database, "db", "upgrade")
    after = database.schema, database.sql("SELECT * FROM posts"), database.sql("SELECT * FROM alembic_version")
    assert after == before


def test_changing_a_table_keeps_rows_that_refer_to_it(mine: Path, database: Database) -> None:
    parent = 'sa.Column("post_id", sa.Integer(), sa.ForeignKey("posts.id", ondelete={}))'
    tables = {"comments": '"CASCADE"', "likes": "None", "readers": '"SET NULL"'}
    add_migration(mine, "0002", *(f'op.create_table("{name}", {parent.format(on)})' for name, on in tables.items()))
    run(mine, database, "db", "upgrade")
    database.sql(INSERT_POST.format("parent"))
    for name in tables:
        database.sql(f"INSERT INTO {name} SELECT id FROM posts")
    add_migration(mine, "0003", LONGER_TITLE)
    run(mine, database, "db", "upgrade")
    assert [database.sql(f"SELECT post_id FROM {name}") for name in tables] == ["1\n"] * 3


def test_two_upgrades_at_once(mine: Path, database: Database) -> None:
    """The second one waits, or ends with an error in one sentence."""
    add_column = 'with op.batch_alter_table("posts") as posts: posts.add_column(sa.Column("more", sa.Text()))'
    add_migration(mine, "0002", add_column, "time.sleep(2)")
    environment = user_environment(PYTHONPATH=str(mine / "src"), DATABASE_URL=database.url, SECRET_KEY="test")
    command = [mine / ".venv/bin/flask", "db", "upgrade"]
    options = {"cwd": mine, "env": environment, "stderr": subprocess.PIPE, "text": True}
    upgrades = [subprocess.Popen(command, **options) for _ in range(2)]
    logs = [upgrade.communicate(timeout=120)[1] for upgrade in upgrades]
    assert sorted(upgrade.returncode for upgrade in upgrades) in ([0, 0], [0, 1]), logs
    assert database.sql("SELECT version_num FROM alembic_version") == "0002\n"
    assert "more" in database.schema
    assert not [log for log in logs if "Traceback" in log]


def test_migration_has_no_statement_timeout(mine: Path, postgres: Postgres) -> None:
    check = "DO $$ BEGIN ASSERT current_setting('statement_timeout') = '0'; END $$"
    add_migration(mine, "0002", f'op.execute("{check}")')
    database = on(postgres)
    flask(mine, "db", "upgrade", PYTHONPATH=str(mine / "src"), DATABASE_URL=database.url)
    assert database.sql("SELECT version_num FROM alembic_version") == "0002\n"


# The service


def test_start_in_production_does_not_migrate(serve: Serve, database: Database) -> None:
    service = serve(DATABASE_URL=database.url)
    before = database.schema
    assert (service.get("/healthz").status, service.get("/readyz").status) == (200, 503)
    assert database.schema == before == ""
    assert [record["level"] for record in service.log() if "Run: flask db upgrade" in record["message"]] == ["warning"]
    service.flask("db", "upgrade")
    assert service.get("/readyz").status == 200


def test_postgres_url_of_a_platform_works(serve: Serve, postgres: Postgres) -> None:
    service = serve(DATABASE_URL=on(postgres).url.replace("postgresql://", "postgres://"))
    service.flask("db", "upgrade")
    assert service.get("/readyz").status == 200
    assert service.get("/api/posts").json == {"posts": []}


ASK = """
from my_service.core.database import db
from sqlalchemy import text


@app.get("/ask/<path:statement>")
def ask(statement):
    return str(db.session.scalar(text(statement)))


@app.post("/orphan")
def orphan():
    db.session.execute(text("CREATE TABLE children (parent INTEGER REFERENCES posts)"))
    db.session.execute(text("INSERT INTO children VALUES (7)"))
    return "stored"
"""


def test_connections_to_sqlite_use_wal_and_foreign_keys(serve: Serve) -> None:
    service = serve(ASK)
    asked = {"journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000"}
    assert {name: service.get(f"/ask/PRAGMA%20{name}").body.decode() for name in asked} == asked
    refused = service.ask("POST", "/orphan")
    assert refused.status == 500
    assert "SQLITE_CONSTRAINT_FOREIGNKEY" in service.text


def test_connections_to_postgres_have_timeouts(serve: Serve, postgres: Postgres) -> None:
    service = serve(ASK, DATABASE_URL=on(postgres).url)
    assert service.get("/ask/SHOW%20statement_timeout").body == b"10s"
    assert service.get("/ask/SHOW%20lock_timeout").body == b"5s"
