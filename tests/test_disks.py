"""Faults of the files of a database, and a missing schema."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import Serve, flask, need
from servers import Kent, Postgres
from stores import INSERT, PRECIOUS, READS, Store

StoreOn = Callable[[str], Store]


@pytest.fixture
def store_on(serve: Serve, sentry: Kent) -> StoreOn:
    """``store_on(url)`` starts a service on this database."""
    return partial(Store, serve, sentry)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 4 MB."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    folder.mkdir()
    mounted = subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", "size=4m,mode=777", "tmpfs", folder])
    need(mounted.returncode == 0, "A small disk is missing. Mounting one needs root.")
    try:
        yield folder
    finally:
        subprocess.run([*as_root, "umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk. Return the file to delete for room."""
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(8_000_000))
    return ballast


def assert_full_disk(store: Store, disk: Path, cause: str, megabyte: str) -> None:
    """Check that writes fail, that reads succeed, and that writes succeed once there is room."""
    insert = INSERT.format("'precious'", megabyte)
    store.assert_reads()
    ballast = fill(disk)
    store.assert_fails(507, cause, method="POST", SQL=insert)
    store.assert_reads()
    ballast.unlink()
    answer = store.ask("/run", "POST", SQL=insert)
    assert (answer.status, store.records(answer)) == (200, [])


def test_full_disk_of_sqlite(store_on: StoreOn, project: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(project / "migrated.db", disk)
        assert_full_disk(store_on(f"sqlite:///{disk}/migrated.db"), disk, "SQLITE_FULL", "hex(randomblob(500000))")


def test_full_disk_that_sqlite_is_opened_on(store_on: StoreOn, project: Path, tmp_path: Path) -> None:
    """SQLite needs room for the index of its write-ahead log even to read."""
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(project / "migrated.db", disk)
        ballast = fill(disk)
        store = store_on(f"sqlite:///{disk}/migrated.db")
        store.assert_fails(507, "SQLITE_IOERR_SHMSIZE", READS)
        ballast.unlink()
        store.assert_reads()


def test_full_disk_of_postgresql(store_on: StoreOn, project: Path, postgres: Postgres) -> None:
    url = postgres.database()
    flask(project, "db", "upgrade", DATABASE_URL=url)
    with small_disk(postgres.folder / "disk") as disk:
        (disk / "space").mkdir()
        shutil.chown(disk / "space", postgres.folder.owner())
        postgres.psql(url, f"CREATE TABLESPACE small LOCATION '{disk}/space'")
        postgres.psql(url, "ALTER TABLE posts SET TABLESPACE small")
        megabyte = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 31250))"
        assert_full_disk(store_on(url), disk, "53100", megabyte)
        postgres.psql(url, "DROP TABLE posts")
        postgres.psql(url, "DROP TABLESPACE small")


@pytest.mark.parametrize(("start", "cause"), [(0, "SQLITE_NOTADB"), (4096, "SQLITE_CORRUPT")], ids=["header", "pages"])
def test_corrupt_file(store_on: StoreOn, project: Path, tmp_path: Path, start: int, cause: str) -> None:
    whole = (project / "migrated.db").read_bytes()
    (tmp_path / "corrupt.db").write_bytes(whole[:start] + PRECIOUS.encode() * (len(whole) // len(PRECIOUS)))
    store = store_on(f"sqlite:///{tmp_path}/corrupt.db")
    store.assert_fails(500, cause, READS)
    store.assert_not_ready()


def test_read_only_file(store_on: StoreOn, project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "migrated.db", tmp_path)
    store = store_on(f"sqlite:///file:{tmp_path}/migrated.db?mode=ro&uri=true")
    store.assert_reads()
    store.assert_fails(500, "SQLITE_READONLY", method="POST", SQL=INSERT.format("'slug'", "'precious'"))


def test_file_that_cannot_be_opened(store_on: StoreOn, project: Path, tmp_path: Path) -> None:
    store = store_on(f"sqlite:///{tmp_path}/away/migrated.db")
    store.assert_fails(503, "SQLITE_CANTOPEN", READS)
    store.assert_not_ready()
    (tmp_path / "away").mkdir()
    shutil.copy(project / "migrated.db", tmp_path / "away")
    store.assert_reads()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_missing_schema(store_on: StoreOn, request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    on_sqlite = database == "sqlite"
    store = store_on(f"sqlite:///{tmp_path}/new.db" if on_sqlite else request.getfixturevalue("postgres").database())
    store.assert_fails(500, "no such table" if on_sqlite else "42P01", READS)
    store.assert_not_ready("The schema of the database is behind the code. Run: flask db upgrade")
