"""``flask doctor`` on real servers: what works, what is down, what hangs, and what a disk refuses."""

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import Bake, Serve, flask, user_environment
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


def line(said: list[str], check: str) -> str:
    """The line of a check that has one."""
    (found,) = [line for line in said if line.split(":")[0].split()[1:] == [check]]
    return found


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
    assert [each for each in said if not each.startswith(("ok ", "warning  user: root"))] == []
    assert status == 0
    assert line(said, "database") == "ok       database: reached, and migrated"
    assert line(said, "limits") == "ok       limits: counted in Redis, which answers"
    assert line(said, "sentry") == "ok       sentry: crashes are reported to 127.0.0.1; --send-test-event tries it"

    (event,) = [payload["body"] for payload in sentry.payloads() if payload["header"]["type"] == "event"]
    assert line(said, "sentry_event") == f"ok       sentry_event: delivered, as {event['event_id']}"
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


@pytest.mark.parametrize("status", [403, 429])
def test_event_that_sentry_refuses_is_a_problem(doctor: Doctor, status: int) -> None:
    with answering(status) as dsn:
        exit_status, said = doctor("--send-test-event", SENTRY_DSN=dsn)
    expected = f"problem  sentry_event: not delivered (status_{status}). SENTRY_DSN says where it was to go."
    assert (exit_status, line(said, "sentry_event")) == (1, expected)


def test_event_that_nobody_takes_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor("--send-test-event", SENTRY_DSN=f"http://hidden@127.0.0.1:{free_port()}/1")
    assert line(said, "sentry_event").startswith("problem  sentry_event: not delivered (network). ")
    assert status == 1


@contextmanager
def silent() -> Iterator[int]:
    """A port where somebody listens, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_event_that_is_not_answered_is_a_problem(doctor: Doctor) -> None:
    with silent() as port:
        status, said = doctor("--send-test-event", SENTRY_DSN=f"http://hidden@127.0.0.1:{port}/1")
    assert line(said, "sentry_event").startswith("problem  sentry_event: not delivered (no answer). ")
    assert status == 1


def test_database_that_is_down_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(DATABASE_URL=f"postgresql://me:hidden@127.0.0.1:{free_port()}/service")
    found = line(said, "database")
    assert found.startswith("problem  database: The database does not answer: ")
    assert found.endswith(". Start it, or correct DATABASE_URL.")
    assert status == 1


def test_database_that_hangs_is_a_problem(doctor: Doctor) -> None:
    with silent() as port:
        status, said = doctor(
            DATABASE_URL=f"postgresql://me:hidden@127.0.0.1:{port}/service", DATABASE_CONNECT_TIMEOUT="1"
        )
    assert line(said, "database").startswith("problem  database: The database does not answer: ")
    assert status == 1


HANGING = """
import time
from flask.cli import ScriptInfo
from my_service import commands, doctor

def disk(app):
    time.sleep(3600)
    yield doctor.ok("read")

doctor.PATIENCE, doctor.CHECKS = 1, (disk, doctor.debug)
commands.doctor([], obj=ScriptInfo("my_service"))
"""
"""With a check of its own, since no disk hangs when a test wants it to."""


def test_check_that_hangs_is_a_problem_and_the_others_go_on(project: Path, tmp_path: Path) -> None:
    python = [project / ".venv/bin/python", "-c", HANGING]
    environment = user_environment(SECRET_KEY=SECRET)
    done = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["problem  disk: no answer within 1 seconds", "ok       debug: off"]
    assert done.returncode == 1


def test_redis_that_is_down_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(RATELIMIT_STORAGE_URI=f"redis://:hidden@127.0.0.1:{free_port()}")
    assert line(said, "limits").startswith("problem  limits: Redis does not answer")
    assert status == 1


def test_disk_that_cannot_be_written_is_a_problem(doctor: Doctor, project: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(project / "migrated.db", disk)
        assert folders(doctor, disk) == [f"problem  folders: {disk} has 3 MB left. Make room on its disk."]
        ballast = fill(disk)
        (full,) = folders(doctor, disk)
        assert full.startswith(f"problem  folders: {disk} cannot be written to: No space left on device.")
        ballast.unlink()
        subprocess.run([*AS_ROOT, "mount", "-o", "remount,ro", disk], check=True)
        file, folder = folders(doctor, disk)
        assert file.startswith(f"problem  folders: {disk}/migrated.db cannot be written to.")
        assert folder.startswith(f"problem  folders: {disk} cannot be written to: Read-only file system.")


def folders(doctor: Doctor, disk: Path) -> list[str]:
    """What is said of the disk with the database."""
    status, said = doctor(DATABASE_URL=f"sqlite:///{disk}/migrated.db")
    assert status == 1
    return [each for each in said if each.split(":")[0].endswith(" folders") and str(disk) in each]


def test_folder_without_the_project_is_a_problem(doctor: Doctor, tmp_path: Path) -> None:
    status, said = doctor(FLASK_APP="my_service", cwd=tmp_path)
    assert line(said, "gunicorn").startswith("problem  gunicorn: Run gunicorn --check-config in the folder of ")
    assert status == 1


@pytest.mark.parametrize(
    "wrong", [{"PORT": "many"}, {"SETTINGS_FILE": "missing.toml"}, {"DATABASE_URL": "mysql://db/x"}]
)
def test_wrong_setting_is_the_problem(doctor: Doctor, wrong: dict[str, str]) -> None:
    status, said = doctor(**wrong)
    (name,) = wrong
    assert [each.startswith(f"problem  start: {name}") for each in said] == [True]
    assert status == 1


MISTAKES = {
    "def mistake(:": r"SyntaxError: \S.*",
    "import nowhere": "ModuleNotFoundError: No module named 'nowhere'",
    "int('many')": r"ValueError: invalid literal for int\(\) with base 10: 'many'",
}


@pytest.mark.parametrize("module", ["health.py", "config.py", "doctor.py"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_code_is_the_problem(doctor: Doctor, bake: Bake, module: str, mistake: str) -> None:
    source = bake() / "src"
    path = source / "my_service" / module
    path.write_text(f"{mistake}\n{path.read_text()}")
    status, (said,) = doctor(PYTHONPATH=str(source))
    assert re.fullmatch(f"problem  start: {path}, line 1, cannot be run: {MISTAKES[mistake]}", said)
    assert status == 1


def test_command_line_has_nothing_of_the_service_before_a_command_runs(project: Path) -> None:
    """So that no mistake in it ends one."""
    python = [project / ".venv/bin/python", "-c", "import my_service.commands, sys; print(*sys.modules)"]
    modules = subprocess.run(python, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in modules if name.startswith("my_service")} == {"my_service", "my_service.commands"}


def test_help_is_there_although_the_service_refuses_to_start(project: Path) -> None:
    assert "--send-test-event" in flask(project, "doctor", "--help", SECRET_KEY="")


def test_service_that_serves_has_neither_doctor_nor_debugger(serve: Serve) -> None:
    imported = "import sys\napp.add_url_rule('/imported', 'imported', lambda: sorted(sys.modules))"
    modules = serve(imported, WEB_CONCURRENCY="1").get("/imported").json
    assert "my_service.health" in modules
    assert {"my_service.doctor", "my_service.commands", "werkzeug.debug"} & set(modules) == set()
