"""Fixtures. An application of its own for every test: routes and error handlers that a test adds end with it."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings


@pytest.fixture
def app() -> Flask:
    """The service in production mode, so that a crash is answered as it will be there."""
    return create_app(Settings(SECRET_KEY="test"))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Requests made with it do not share a context, see below."""
    return app.test_client()


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Switches off pytest-flask's fixture of this name: ``g`` would leak from one request of a test into the next."""
