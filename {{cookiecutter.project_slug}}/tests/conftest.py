"""Fixtures. An application of its own for every test, and what it stores ends with the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from databases import fresh_database, rolled_back
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import create_app, tokens
from {{ cookiecutter.__package }}.config import Settings
from {{ cookiecutter.__package }}.database import alembic, db

MakeApp = Callable[..., Flask]
Headers = dict[str, str]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database for all tests of this process, which leave nothing in it."""
    with fresh_database(tmp_path_factory.mktemp("database")) as url:
        app = create_app(Settings(SECRET_KEY="test", DATABASE_URL=url))
        with app.app_context():
            alembic.upgrade()
            db.engine.dispose()
        yield url


@pytest.fixture
def make_app(database_url: str) -> Iterator[MakeApp]:
    """``make_app(PROXY_HOPS=1)`` is the service with these settings, in production mode: a crash is answered as there.

    One for each test: with SQLite a second one would wait for the first.
    """
    with ExitStack() as stack:

        def make_app(**settings: object) -> Flask:
            made = create_app(Settings.model_validate({"SECRET_KEY": "test", "DATABASE_URL": database_url, **settings}))
            return stack.enter_context(rolled_back(made))

        yield make_app


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Requests made with it do not share a context, see below."""
    return app.test_client()


@pytest.fixture
def writer(app: Flask) -> Headers:
    """The headers of somebody who may write."""
    with app.app_context():
        return {"Authorization": f"Bearer {tokens.issue('writer')}"}


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Switches off pytest-flask's fixture of this name: ``g`` would leak from one request of a test into the next."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
