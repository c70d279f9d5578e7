"""Settings: where they are read from, and the messages about wrong ones."""

from pathlib import Path

import pytest
from conftest import SETTINGS, MakeApp

from {{ cookiecutter.__package }} import config
from {{ cookiecutter.__package }}.config import Settings, load


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name, "")  # blank counts as not set; the value is restored after load() has changed it
    monkeypatch.chdir(tmp_path)


def read_problems() -> list[str]:
    with pytest.raises(SystemExit) as stop:
        load()
    return str(stop.value).splitlines()


def test_production_needs_a_secret_key() -> None:
    [problem] = read_problems()
    assert problem.startswith("SECRET_KEY: missing; put into .env what this prints: python3 -c")


def test_each_problem_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert [line.split(":")[0] for line in read_problems()] == ["LOG_LEVEL 'LOUD'", "PORT 'many'", "SECRET_KEY"]


def test_environment_overrides_env_file_overrides_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.toml").write_text('SECRET_KEY = "toml"\nPORT = 1\nWEB_CONCURRENCY = 1\n')
    Path(".env").write_text("SETTINGS_FILE=settings.toml\nPORT=2\nWEB_CONCURRENCY=2\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    settings = load()
    assert (settings.SECRET_KEY, settings.PORT, settings.WEB_CONCURRENCY) == ("toml", 2, 3)


def test_unknown_setting_in_the_settings_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.toml").write_text('SECRET_KEY = "toml"\nSENTRY_DNS = ""\n')
    monkeypatch.setenv("SETTINGS_FILE", "settings.toml")
    assert read_problems() == ["SENTRY_DNS: unknown setting; see config.py"]


def test_invalid_value_is_refused_without_showing_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    invalid = {
        "TRUSTED_HOSTS": [",", "https://example.org"],
        "APPLICATION_ROOT": ["library"],
        "DATABASE_URL": ["mysql://user:secret@db/name", "sqlite://", "service.db"],
        "RATELIMIT_WRITES": ["often"],
        "RATELIMIT_STORAGE_URI": ["memcached://:secret@cache"],
        "SENTRY_DSN": ["https://secret@nonsense"],
        "MAIL_ADMINS": [",", "me@example.org you@example.org"],
        "MAIL_URL": ["mail.example.org", "smtp://user:secret@", "smtp://user:secret@mail.example.org:99999"],
    }
    monkeypatch.setenv("SECRET_KEY", "test")
    for name in invalid.keys() & Settings.model_fields:
        for value in invalid[name]:
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                [problem] = read_problems()
            assert problem.startswith(name)
            assert "secret" not in problem


def test_redis_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    monkeypatch.setenv("SECRET_KEY", "test")
    monkeypatch.setenv("RATELIMIT_STORAGE_URI", "redis://cache")
    [problem] = read_problems()
    assert problem.startswith("RATELIMIT_STORAGE_URI: the package redis is missing; run: uv sync --extra redis")


def test_postgresql_url_gets_the_installed_driver() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        settings = Settings(SECRET_KEY="test", DATABASE_URL=f"{scheme}://user:pass%40word@db/name?sslmode=require")
        assert settings.DATABASE_URL == "postgresql+psycopg://user:pass%40word@db/name?sslmode=require"


def test_settings_of_flask_and_extensions_come_from_the_environment_and_the_test(
    monkeypatch: pytest.MonkeyPatch, make_app: MakeApp
) -> None:
    monkeypatch.setenv("FLASK_SESSION_COOKIE_NAME", "mine")
    app = make_app(BABEL_DEFAULT_LOCALE="fr")
    assert app.config["SESSION_COOKIE_NAME"] == "mine"
    assert app.config["BABEL_DEFAULT_LOCALE"] == "fr"
    assert app.config["SECRET_KEY"] == SETTINGS["SECRET_KEY"]
