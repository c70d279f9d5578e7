"""The home page, the pages about problems, and health."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings
from {{ cookiecutter.__package }}.database import db
from {{ cookiecutter.__package }}.problems import catalogue


def test_home_page(client: FlaskClient) -> None:
    assert "<h1>The service is running</h1>" in client.get("/").text


def test_site_has_the_style_of_the_error_pages(client: FlaskClient) -> None:
    style = client.get("/style.css", buffered=True)
    assert style.mimetype == "text/css"
    assert '<link rel="stylesheet" href="/style.css">' in client.get("/").text
    assert style.text.strip() in client.get("/unknown").text


@pytest.mark.parametrize("url", ["/problems/", "/problems"])
def test_every_problem_is_listed(client: FlaskClient, url: str) -> None:
    page = client.get(url).text
    assert "/problems/rate-limited" in page
    for kind in catalogue().values():
        assert f'<a href="{kind.type}">{kind.title}</a>' in page


def test_every_problem_is_explained_to_people_and_programs(client: FlaskClient) -> None:
    for kind in catalogue().values():
        assert kind.__doc__
        assert f"<h1>{kind.title}</h1>" in client.get(kind.type).text
        told = client.get(kind.type, headers={"Accept": "application/json"}).get_json()["problem"]
        assert (told["type"], told["title"], told["status"]) == (kind.type, kind.title, kind.code)
        assert told["example"]["detail"]


def test_unknown_problem_is_404(client: FlaskClient) -> None:
    assert client.get("/problems/unknown").status_code == 404


@pytest.fixture
def failed() -> list[object]:
    """What was asked of the database of ``cut_off``, and failed."""
    return []


@pytest.fixture
def cut_off(failed: list[object]) -> FlaskClient:
    """A service whose database cannot be reached."""
    app = create_app(Settings(SECRET_KEY="test", DATABASE_URL="postgresql://me@127.0.0.1:1/none"))
    with app.app_context():
        event.listen(db.engine, "handle_error", failed.append)
    return app.test_client()


def test_process_is_alive_without_database_and_session(
    cut_off: FlaskClient, failed: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    cut_off.set_cookie("session", "no session of ours")
    alive = cut_off.get("/healthz")
    assert (alive.status_code, alive.text) == (200, "alive\n")
    assert "Cookie" not in alive.headers.get("Vary", "")
    assert (failed, caplog.records) == ([], [])


def test_what_is_not_ready_is_told_to_the_log_and_not_to_the_public(
    cut_off: FlaskClient, failed: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    ready = cut_off.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "not ready\n")
    assert failed
    assert "Not ready. The database does not answer: " in caplog.text
    assert "127.0.0.1" not in str(ready.headers)


@pytest.mark.parametrize("url", ["/healthz", "/readyz"])
def test_service_is_healthy(client: FlaskClient, url: str) -> None:
    assert client.get(url).status_code == 200
