"""Fixtures: an application in production mode, and a client."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from my_service import create_app
from my_service.config import Settings


@pytest.fixture
def app() -> Flask:
    return create_app(Settings(SECRET_KEY="test"))


@pytest.fixture(scope="session")
def client() -> FlaskClient:
    """Of an application that no test changes."""
    return create_app(Settings(SECRET_KEY="test")).test_client()
