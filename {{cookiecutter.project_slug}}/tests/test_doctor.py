"""``flask doctor``, as the command line finds it, with settings from the environment."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo, cli
from flask.testing import FlaskCliRunner

from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings, load
from {{ cookiecutter.__package }}.database import db

Doctor = Callable[..., tuple[int, list[str]]]
SECRET = "not to be shown " * 4


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Iterator[Doctor]:
    """``doctor("--send-test-event", PORT="8080")``: exit status, and lines. The database is a migrated one.

    It is run where there is no ``.env``.
    """
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")  # which Flask sets for good
    for name in ("gunicorn.conf.py", "migrations"):
        (tmp_path / name).symlink_to(Path(__file__).parents[1] / name)
    (tmp_path / "instance").mkdir()
    monkeypatch.chdir(tmp_path)
    with ExitStack() as ends:

        def make_app() -> Flask:
            app = create_app(load())
            with app.app_context():
                ends.callback(db.engine.dispose)
            return app

        def doctor(*options: str, **settings: str) -> tuple[int, list[str]]:
            for name, value in {"SECRET_KEY": SECRET, "DATABASE_URL": database_url, **settings}.items():
                monkeypatch.setenv(name, value)
            info = ScriptInfo(create_app=make_app, load_dotenv_defaults=False)
            result = FlaskCliRunner(Flask(__name__)).invoke(cli, ["doctor", *options], obj=info)
            assert isinstance(result.exception, SystemExit | None), result.exception
            return result.exit_code, result.output.splitlines()

        yield doctor


def lines(said: list[str], *checks: str) -> list[str]:
    return [line for line in said if line.split(":")[0].split()[1] in checks]


def test_healthy_service_has_no_problem_and_shows_no_secret(doctor: Doctor) -> None:
    status, said = doctor(TRUSTED_HOSTS="example.org,.example.org", PROXY_HOPS="1", PORT="8080")
    assert [line for line in said if line.startswith("problem")] == []
    assert status == 0
    assert lines(said, "settings") == [
        "ok       settings: SECRET_KEY is set",
        "ok       settings: PORT is 8080",
        "ok       settings: TRUSTED_HOSTS is ['example.org', '.example.org']",
        "ok       settings: PROXY_HOPS is 1",
        "ok       settings: DATABASE_URL is set",
    ]
    assert lines(said, "secret", "debug", "hosts", "proxies", "database", "limits", "sentry", "gunicorn") == [
        "ok       secret: SECRET_KEY is long enough",
        "ok       debug: off",
        "ok       hosts: answers to example.org, .example.org",
        "ok       proxies: 1 trusted. Let nobody reach port 8080 but through them.",
        "ok       database: reached, and migrated",
        "ok       limits: counted by each process alone",
        "ok       sentry: off; crashes are in the log",
        "ok       gunicorn: gunicorn --check-config has nothing to say",
    ]
    assert all(" can be written to, and has " in line for line in lines(said, "folders"))
    assert SECRET not in str(said)


def test_wrong_settings_are_the_problems_although_the_service_refuses_to_start(doctor: Doctor) -> None:
    status, (first, second) = doctor(PORT="many", SECRET_KEY="")
    assert first.startswith("problem  start: PORT 'many': input should be a valid integer")
    assert second.startswith("problem  start: SECRET_KEY: missing; put into .env")
    assert status == 1


def test_what_is_implausible_is_a_warning(doctor: Doctor) -> None:
    status, said = doctor(SECRET_KEY="short")
    assert [line.split(":")[0] for line in lines(said, "secret", "hosts", "proxies")] == [
        "warning  secret",
        "warning  hosts",
        "warning  proxies",
    ]
    assert status == 0


def test_everything_is_looked_at_whatever_has_a_problem(doctor: Doctor, tmp_path: Path) -> None:
    status, said = doctor(
        "--send-test-event",
        DATABASE_URL=f"sqlite:///{tmp_path}/empty.db",
        RATELIMIT_STORAGE_URI="redis://:hidden@127.0.0.1:1",
        SENTRY_DSN="http://hidden@nonsense",
    )
    assert [line for line in said if line.startswith("problem")] == [
        "problem  database: The schema of the database is behind the code. Run: flask db upgrade",
        "problem  limits: Redis does not answer, so nothing is limited. Start it, or correct RATELIMIT_STORAGE_URI.",
        "problem  sentry: SENTRY_DSN is not usable. Copy it from the project's settings in Sentry.",
        "problem  sentry_event: Sentry is off, so nothing was sent. Set SENTRY_DSN.",
    ]
    assert "hidden" not in str(said)
    assert status == 1


def test_debug_mode_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(FLASK_DEBUG="1")
    assert lines(said, "debug") == ["problem  debug: Debug mode is on. Leave out --debug and FLASK_DEBUG."]
    (refused,) = lines(said, "gunicorn")
    assert "mend what it says: FLASK_DEBUG: gunicorn is for production" in refused
    assert status == 1
