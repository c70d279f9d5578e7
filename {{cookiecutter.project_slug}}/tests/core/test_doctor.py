"""``flask doctor``."""

from pathlib import Path

import pytest
from click.testing import Result
from conftest import MakeApp
from flask import Flask

from {{ cookiecutter.__package }}.core import health

SECRET = "hidden" * 8


def run(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["doctor", *options])


def problems(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("problem")]


def test_healthy_service_has_no_problem(make_app: MakeApp) -> None:
    result = run(make_app(SECRET_KEY=SECRET, TRUSTED_HOSTS="example.org", PROXY_HOPS="1"))
    assert problems(result) == []
    assert result.exit_code == 0
    assert SECRET not in result.output


def test_unsafe_settings_are_warnings(app: Flask) -> None:
    result = run(app)
    for name in ("TRUSTED_HOSTS", "PROXY_HOPS"):
        assert any(name in line for line in result.output.splitlines() if line.startswith("warning"))
    assert result.exit_code == 0


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
        "problem  Debug mode is on. Leave out --debug and FLASK_DEBUG.",
        "problem  The schema of the database is behind the code. Run: flask db upgrade",
        "problem  printer: RuntimeError: out of paper",
        "problem  Sentry is off, so nothing was sent. Set SENTRY_DSN.",
    ]
    assert result.exit_code == 1
