"""Fixtures. Each test has its own application and its own database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import create_database
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings
from {{ cookiecutter.__package }}.core.database import db
from {{ cookiecutter.__package }}.core.database.migrations import alembic

MakeApp = Callable[..., Flask]

SETTINGS: dict[str, Any] = {
    "SECRET_KEY": "test",
    "WTF_CSRF_ENABLED": False,  # with Flask-WTF, tests send forms without a token
}
"""Settings of every test. A test overrides them with ``make_app(NAME=value)``."""


@pytest.fixture
def make_app(database_url: str) -> Iterator[MakeApp]:
    """Create the application in production mode, where an unhandled exception becomes a 500 response.

    ``make_app(PROXY_HOPS=1, BABEL_DEFAULT_LOCALE="fr")`` takes settings of ``config.py``, of Flask and of extensions.
    """
    apps: list[Flask] = []

    def make_app(**options: Any) -> Flask:
        options = {"DATABASE_URL": database_url, **SETTINGS, **options}
        settings = {name: options.pop(name) for name in options.keys() & Settings.model_fields}
        apps.append(create_app(Settings.model_validate(settings), options))
        return apps[-1]

    yield make_app
    for app in apps:
        close_database(app)


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The application. A test can add blueprints and views to it."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application. Each request has its own context, as in production."""
    return app.test_client()


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Disable pytest-flask's fixture of this name: requests of a test would share its context, and so ``flask.g``."""


@pytest.fixture(scope="session")
def migrated_database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the current schema, to copy."""
    with create_database(tmp_path_factory.mktemp("database")) as url:
        app = create_app(Settings(SECRET_KEY="test", DATABASE_URL=url))
        with app.app_context():
            alembic.upgrade()
        close_database(app)
        yield url


@pytest.fixture
def database_url(migrated_database_url: str, tmp_path: Path) -> Iterator[str]:
    """The database of a test, with the current schema and without rows."""
    with create_database(tmp_path, migrated_database_url) as url:
        yield url


def close_database(app: Flask) -> None:
    """Close the connections of an application."""
    with app.app_context():
        db.engine.dispose()
