"""Settings from outside, and what is said about wrong ones."""

from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.config import Settings, load


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def problems() -> list[str]:
    with pytest.raises(SystemExit) as stop:
        load()
    return str(stop.value).splitlines()


def test_production_needs_a_secret_key() -> None:
    (problem,) = problems()
    assert problem.startswith("SECRET_KEY: missing; put into .env what this prints: python3 -c")


def test_development_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    assert load().FLASK_DEBUG


def test_every_problem_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert [line.split(":")[0] for line in problems()] == ["LOG_LEVEL 'LOUD'", "PORT 'many'", "SECRET_KEY"]


def test_environment_wins_over_dotenv_wins_over_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.toml").write_text('SECRET_KEY = "toml"\nPORT = 1\nWEB_CONCURRENCY = 1\n')
    Path(".env").write_text("SETTINGS_FILE=settings.toml\nPORT=2\nWEB_CONCURRENCY=2\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    settings = load()
    assert (settings.SECRET_KEY, settings.PORT, settings.WEB_CONCURRENCY) == ("toml", 2, 3)


def test_unknown_name_in_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.toml").write_text('SECRET_KEY = "toml"\nSENTRY_DNS = ""\n')
    monkeypatch.setenv("SETTINGS_FILE", "settings.toml")
    assert problems() == ["SENTRY_DNS: not a setting; config.py has their names"]


@pytest.mark.parametrize("content", [None, "SECRET_KEY ="])
def test_unreadable_settings_file(monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        Path("settings.toml").write_text(content)
    monkeypatch.setenv("SETTINGS_FILE", "settings.toml")
    (problem,) = problems()
    assert problem.startswith("SETTINGS_FILE: settings.toml cannot be read as TOML")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_HOSTS", ","),
        ("TRUSTED_HOSTS", "https://example.org"),
        ("SECRET_KEY", "  "),
        ("DATABASE_URL", "mysql://user:password@db/name"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "service.db"),
        ("RATELIMIT_WRITES", "often"),
        ("RATELIMIT_STORAGE_URI", "memcached://cache"),
        ("MAIL_ADMINS", ","),
        ("MAIL_ADMINS", "me@example.org you@example.org"),
        ("MAIL_SENDER", "me"),
        ("MAIL_URL", "mail.example.org"),
        ("MAIL_URL", "smtp://user:password@"),
        ("MAIL_URL", "smtp://user:password@mail.example.org:99999"),
    ],
)
def test_value_that_would_not_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("SECRET_KEY", "test")
    monkeypatch.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith(name)
    assert "password@" not in problem


def test_trusted_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "test")
    monkeypatch.setenv("TRUSTED_HOSTS", "example.org, .example.org")
    assert load().TRUSTED_HOSTS == ["example.org", ".example.org"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_with_the_driver_that_is_there(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("SECRET_KEY", "test")
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://user:pass%40word@db:5433/name?sslmode=require")
    assert load().DATABASE_URL == "postgresql+psycopg://user:pass%40word@db:5433/name?sslmode=require"
