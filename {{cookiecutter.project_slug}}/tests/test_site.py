"""The home page, the pages about problems, and health."""

import pytest
from flask.testing import FlaskClient

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


@pytest.mark.parametrize("url", ["/healthz", "/readyz"])
def test_service_is_healthy(client: FlaskClient, url: str) -> None:
    assert client.get(url).status_code == 200
