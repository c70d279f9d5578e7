"""``flask doctor`` on real servers: what works, what is down, what hangs, and what a disk refuses."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import flask, user_environment
from servers import Kent, Postgres, Redis
from service import free_port
from test_disks import fill, small_disk

AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
Doctor = Callable[..., tuple[int, list[str]]]
SECRET = "hidden-0123456789-0123456789-0123456789"


@pytest.fixture
def doctor(project: Path, tmp_path: Path) -> Doctor:
    """``doctor("--send-test-event", SENTRY_DSN="…")``: its exit status and lines. The database is a migrated SQLite."""
    shutil.copy(project / "migrated.db", tmp_path)

    def doctor(*options: str, cwd: Path = project, **settings: str) -> tuple[int, list[str]]:
        settings = {"SECRET_KEY": SECRET, "DATABASE_URL": f"sqlite:///{tmp_path}/migrated.db", **settings}
        command = [project / ".venv/bin/flask", "doctor", *options]
        environment = user_environment(**settings)
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr
        assert "hidden" not in done.stdout + done.stderr
        return done.returncode, done.stdout.splitlines()

    return doctor


def test_everything_is_well(doctor: Doctor, project: Path, postgres: Postgres, redis: Redis, sentry: Kent) -> None:
    database, dsn = postgres.database(), sentry.dsn.replace("public", "hidden")
    flask(project, "db", "upgrade", DATABASE_URL=database)
    sentry.forget()
    status, said = doctor(
        "--send-test-event",
        DATABASE_URL=database,
        RATELIMIT_STORAGE_URI=redis.url,
        SENTRY_DSN=dsn,
        SENTRY_ENVIRONMENT="staging",
        TRUSTED_HOSTS="example.org",
        PROXY_HOPS="1",
    )
    (event,) = [payload["body"] for payload in sentry.payloads() if payload["header"]["type"] == "event"]
    [only] = said
    assert only == f"ok       Sentry has received the event {event['event_id']}."
    assert status == 0
    assert (event["level"], event["environment"], event["release"]) == ("info", "staging", "my_service@0.1.0")


def test_no_event_is_sent_unless_asked_for(doctor: Doctor, sentry: Kent) -> None:
    sentry.forget()
    status, _ = doctor(SENTRY_DSN=sentry.dsn)
    assert status == 0
    assert sentry.payloads() == []


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A DSN where this is the answer to everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://hidden@127.0.0.1:{server.server_port}/1"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [403])
def test_event_that_sentry_refuses_is_a_problem(doctor: Doctor, status: int) -> None:
    with answering(status) as dsn:
        exit_status, said = doctor("--send-test-event", SENTRY_DSN=dsn)
    expected = f"problem  The test event was not delivered (status_{status}). Check SENTRY_DSN."
    assert (exit_status, said[-1]) == (1, expected)


@contextmanager
def silent() -> Iterator[int]:
    """A port where somebody listens, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_event_that_is_not_answered_is_a_problem(doctor: Doctor) -> None:
    with silent() as port:
        status, said = doctor("--send-test-event", SENTRY_DSN=f"http://hidden@127.0.0.1:{port}/1")
    assert said[-1].startswith("problem  The test event was not delivered (no answer). ")
    assert status == 1


def test_database_that_is_down_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(DATABASE_URL=f"postgresql://me:hidden@127.0.0.1:{free_port()}/service")
    assert said[-1].startswith("problem  The database does not answer: ")
    assert said[-1].endswith(". Start it, or correct DATABASE_URL.")
    assert status == 1


def test_redis_that_is_down_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(RATELIMIT_STORAGE_URI=f"redis://:hidden@127.0.0.1:{free_port()}")
    assert said[-1].startswith("problem  Redis does not answer")
    assert status == 1


def test_disk_that_cannot_be_written_is_a_problem(doctor: Doctor, project: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(project / "migrated.db", disk)
        assert folders(doctor, disk) == [f"warning  {disk} has 3 MB left. Make room on its disk."]
        ballast = fill(disk)
        full, _ = folders(doctor, disk)
        assert full.startswith(f"problem  {disk} is not writable: No space left on device.")
        ballast.unlink()
        subprocess.run([*AS_ROOT, "mount", "-o", "remount,ro", disk], check=True)
        file, folder, _ = folders(doctor, disk)
        assert file.startswith(f"problem  {disk}/migrated.db is not writable.")
        assert folder.startswith(f"problem  {disk} is not writable: Read-only file system.")


def folders(doctor: Doctor, disk: Path) -> list[str]:
    """Return the lines about the disk with the database."""
    status, said = doctor(DATABASE_URL=f"sqlite:///{disk}/migrated.db")
    assert status == int(any(each.startswith("problem") for each in said))
    return [each for each in said if str(disk) in each]


@pytest.mark.parametrize(
    "wrong", [{"PORT": "many"}, {"SETTINGS_FILE": "missing.toml"}, {"DATABASE_URL": "mysql://db/x"}]
)
def test_wrong_setting_ends_every_command_with_one_line(project: Path, wrong: dict[str, str]) -> None:
    environment = user_environment(SECRET_KEY=SECRET, **wrong)
    command = [project / ".venv/bin/flask", "doctor"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    (name,) = wrong
    assert [line.startswith(name) for line in done.stderr.splitlines()] == [True]
    assert (done.returncode, done.stdout) == (1, "")
