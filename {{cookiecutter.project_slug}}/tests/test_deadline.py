"""The deadline of a request: what knows it, and when it does not hold."""

from math import inf

import pytest
from conftest import MakeApp
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from {{ cookiecutter.__package }} import deadline
from {{ cookiecutter.__package }}.database import db


def test_wait_is_bounded_by_its_own_limit_and_by_what_is_left(make_app: MakeApp) -> None:
    app = make_app(REQUEST_DEADLINE=20)

    @app.get("/left")
    def left() -> list[float]:
        with deadline.within(10):
            return [deadline.left(5), deadline.left()]

    app.add_url_rule("/whole", view_func=lambda: [deadline.left(), deadline.left(30)])
    short, narrowed = app.test_client().get("/left").get_json()
    assert short == 5
    assert 5 < narrowed <= 10
    assert all(10 < seconds <= 20 for seconds in app.test_client().get("/whole").get_json())


def test_wider_limit_within_a_narrower_one_changes_nothing() -> None:
    with deadline.within(1), deadline.within(60):
        assert deadline.left() <= 1
    assert deadline.left() == inf


def test_nothing_is_bounded_outside_a_request(app: Flask) -> None:
    assert deadline.moment() == inf
    with app.app_context():
        assert db.session.scalar(text("SELECT 1")) == 1
    deadline.check()


def test_nothing_is_asked_of_the_database_when_it_is_too_late(app: Flask, client: FlaskClient) -> None:
    @app.get("/late")
    def late() -> str:
        db.session.execute(text("SELECT 1"))
        with deadline.within(0), pytest.raises(deadline.DeadlineError):
            db.session.execute(text("SELECT 1"))
        return str(db.session.scalar(text("SELECT 2")))

    assert client.get("/late").text == "2"


def test_what_is_too_late_is_503(app: Flask, client: FlaskClient) -> None:
    @app.get("/late")
    def late() -> str:
        with deadline.within(0):
            return str(db.session.scalar(text("SELECT 1")))

    response = client.get("/late")
    assert response.status_code == 503
    assert 5 <= int(response.headers["Retry-After"]) <= 15
