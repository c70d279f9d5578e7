"""``flask doctor``."""

from pathlib import Path

import pytest
from click.testing import Result
from conftest import MakeApp
from flask import Flask

from {{ cookiecutter.__package }}.core import cli, health

SECRET = "hidden" * 8


def run(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["doctor", *options])


def problems(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("problem")]


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run the test in a folder with the files of the service, and without a ``.env``."""
    for name in ("gunicorn.conf.py", "migrations"):
        (tmp_path / name).symlink_to(Path(__file__).parents[2] / name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _without_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the slow check."""
    monkeypatch.setattr(cli, "_gunicorn", lambda app: iter(()))


def test_healthy_service_has_no_problem(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    settings = {"SECRET_KEY": SECRET, "DATABASE_URL": database_url, "TRUSTED_HOSTS": "example.org", "PROXY_HOPS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)  # for Gunicorn
    result = run(make_app(**settings))
    assert problems(result) == []
    assert result.exit_code == 0
    for check in ("settings", "gunicorn", "database"):
        assert f" {check}: " in result.output
    assert SECRET not in result.output


@pytest.mark.usefixtures("_without_gunicorn")
def test_unsafe_settings_are_warnings(make_app: MakeApp) -> None:
    result = run(make_app(SECRET_KEY="short"))
    for name in ("SECRET_KEY", "TRUSTED_HOSTS", "PROXY_HOPS"):
        assert any(name in line for line in result.output.splitlines() if line.startswith("warning"))
    assert result.exit_code == 0


@pytest.mark.usefixtures("_without_gunicorn")
def test_each_check_runs_although_others_find_a_problem(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db", FLASK_DEBUG=True)

    def fail() -> str:
        raise RuntimeError("out of paper")

    health.register_check(app, "printer", fail)
    result = run(app, "--send-test-event")
    assert problems(result) == [
        "problem  settings: Debug mode is on. Leave out --debug and FLASK_DEBUG.",
        "problem  database: The schema of the database is behind the code. Run: flask db upgrade",
        "problem  printer: RuntimeError: out of paper",
        "problem  sentry: Sentry is off, so nothing was sent. Set SENTRY_DSN.",
    ]
    assert result.exit_code == 1
