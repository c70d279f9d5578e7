"""The home page."""

import re

from flask.testing import FlaskClient


def test_home_page_is_shown(client: FlaskClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert "<h1>The service is running</h1>" in response.text


def test_links_of_the_home_page_work(client: FlaskClient) -> None:
    """Some of them show how a 404 looks."""
    for link in re.findall(r'(?:href|src)="([^"]+)"', client.get("/").text):
        response = client.get(link, base_url="http://localhost", buffered=True)
        assert response.status_code == 200 or "nothing-here" in link or link.endswith("/0")


def test_pages_and_error_pages_have_the_same_style(client: FlaskClient) -> None:
    style = client.get("/style.css", buffered=True)
    assert style.mimetype == "text/css"
    assert '/style.css">' in client.get("/").text
    assert style.text.strip() in client.get("/nothing-here").text
