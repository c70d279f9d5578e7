"""The disk is full or fails. What cannot be stored is refused, what was acknowledged is kept."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Serve
from .disks import Disk, failing_calls
from .postgres import Postgres
from .servers import wait_for
from .service import FORMS, Answer, Service, assert_error, new_id
from .storing import Store

full_row = pytest.mark.failure("the disk is full")
failing_row = pytest.mark.failure("the disk fails")
VIEWS = """
@both
def healthy(): return "well"

def upload():
    return str(len(request.files["file"].read()))

both(upload, methods=["POST"])
"""
LARGE = 1_000_000
"""bytes"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def store(serve: Serve, migrated: Path, disk: Disk) -> Store:
    """On SQLite, on a disk of its own."""
    shutil.copy(migrated, disk.folder / "service.db")
    os.sync()  # what is stored from here on is the service's affair
    store = Store(serve, f"sqlite:///{disk.folder}/service.db", VIEWS)
    store.assert_serves()
    return store


# Full


@full_row
def test_full_disk_of_sqlite(store: Store, disk: Disk) -> None:
    disk.fill()
    store.assert_fails(lambda path: store.publish(path, 20_000), 507, "SQLITE_FULL")
    store.assert_reads()
    disk.make_room()
    store.assert_serves()
    store.assert_reported()


@full_row
def test_disk_that_is_full_when_sqlite_is_opened(serve: Serve, migrated: Path, disk: Disk) -> None:
    """Even to read, it needs room for the index of its log."""
    shutil.copy(migrated, disk.folder / "service.db")
    disk.fill()
    store = Store(serve, f"sqlite:///{disk.folder}/service.db")
    store.assert_fails(store.titles, 507, "SQLITE_IOERR_SHMSIZE")
    store.assert_not_ready("SQLITE_IOERR_SHMSIZE")
    disk.make_room()
    store.assert_serves()
    store.assert_reported()


@full_row
def test_full_disk_of_postgresql(serve: Serve, own_database: str, postgres: Postgres) -> None:
    store = Store(serve, own_database)
    with Disk(postgres.folder) as disk:
        (disk.folder / "space").mkdir()
        if os.geteuid() == 0:
            shutil.chown(disk.folder / "space", "nobody")
        postgres.sql(f"CREATE TABLESPACE small LOCATION '{disk.folder}/space'", own_database)
        postgres.sql("ALTER TABLE posts SET TABLESPACE small", own_database)
        store.assert_serves()
        disk.fill()
        store.assert_fails(lambda path: store.publish(path, 20_000), 507, "53100")
        store.assert_reads()
        disk.make_room()
        store.assert_serves()
        store.assert_reported()
        postgres.sql("DROP TABLE posts", own_database)
        postgres.sql("DROP TABLESPACE small", own_database)


@full_row
def test_full_disk_of_uploads(serve: Serve, disk: Disk) -> None:
    """What is larger than half a megabyte is kept in a file of TMPDIR until the view has read it."""
    uploads = Store(serve, "sqlite:///service.db", VIEWS, TMPDIR=str(disk.folder))
    assert [upload(uploads.service, path).body for path in FORMS] == [str(LARGE).encode()] * 2
    disk.fill()
    uploads.assert_fails(lambda path: upload(uploads.service, path), 507, "No space left on device")
    uploads.assert_serves()
    disk.make_room()
    assert [upload(uploads.service, path).status for path in FORMS] == [200, 200]
    uploads.assert_reported()


def upload(service: Service, path: str) -> Answer:
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    body = start + bytes(LARGE) + b"\r\n--x--\r\n"
    return service.ask("POST", f"{path}/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})


@pytest.mark.failure("the log is closed or full")
def test_full_disk_of_the_log(serve: Serve, disk: Disk) -> None:
    """Meanwhile nothing is logged; afterwards it is again."""
    file = disk.folder / "log"
    with file.open("ab") as log:
        service = serve(VIEWS.replace("def upload", "from flask import request\ndef upload"), stdout=log, stderr=log)
    disk.fill()
    for path, form in FORMS.items():
        assert service.get(f"{path}/healthy").status == 200
        assert_error(service.get(f"{path}/unknown"), 404, form)
    disk.make_room()
    reference = new_id()
    assert service.get("/healthy", X_Request_ID=reference).status == 200
    wait_for(lambda: reference in file.read_text(errors="replace"), "the line in the log")


# Failing


@failing_row
def test_disk_that_can_only_be_read(store: Store, disk: Disk) -> None:
    disk.fail()
    store.assert_fails(store.publish, 500, "SQLITE_IOERR_WRITE")
    store.assert_not_ready("SQLITE_IOERR_WRITE")
    store.assert_reads()
    store.assert_reported()
    store.service.stop()
    disk.replace()
    store.restart()
    store.assert_serves()


@failing_row
@pytest.mark.parametrize(
    ("calls", "cause"),
    [("pwrite64", "SQLITE_IOERR_WRITE"), ("fsync,fdatasync", "SQLITE_IOERR_FSYNC")],
    ids=["written", "kept"],
)
def test_disk_on_which_nothing_is(store: Store, disk: Disk, calls: str, cause: str) -> None:
    with failing_calls(store.service, calls, disk.folder / "service.db-wal"):
        store.assert_fails(store.publish, 500, cause)
        store.assert_not_ready(cause)
        store.assert_reads()
    store.assert_serves()
    store.assert_reported()
    store.restart()
    store.assert_serves()


@failing_row
def test_disk_that_cannot_be_read(serve: Serve, migrated: Path, disk: Disk) -> None:
    shutil.copy(migrated, disk.folder / "service.db")
    store = Store(serve, f"sqlite:///{disk.folder}/service.db")
    with failing_calls(store.service, "pread64", disk.folder / "service.db"):
        store.assert_fails(store.titles, 500, "SQLITE_IOERR")
        store.assert_not_ready("SQLITE_IOERR")
    store.assert_serves()
    store.assert_reported()


@failing_row
@pytest.mark.parametrize(("start", "cause"), [(0, "SQLITE_NOTADB"), (4096, "SQLITE_CORRUPT")], ids=["header", "pages"])
def test_corrupt_file(serve: Serve, migrated: Path, tmp_path: Path, start: int, cause: str) -> None:
    whole = migrated.read_bytes()
    (tmp_path / "corrupt.db").write_bytes(whole[:start] + b"corrupt" * (len(whole) // 7))
    store = Store(serve, f"sqlite:///{tmp_path}/corrupt.db")
    store.assert_fails(store.titles, 500, cause)
    store.assert_fails(store.publish, 500, cause)
    store.assert_not_ready(cause)
    store.assert_reported()
