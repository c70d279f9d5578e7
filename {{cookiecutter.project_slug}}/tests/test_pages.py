"""The home page and the blog."""

from typing import Any

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize(
    ("url", "heading"),
    [("/", "The service is running"), ("/blog/", "Blog"), ("/blog", "Blog"), ("/blog/hello", "Hello")],
)
def test_page_is_there(client: FlaskClient, url: str, heading: str) -> None:
    response = client.get(url)
    assert response.status_code == 200
    assert f"<h1>{heading}</h1>" in response.text


def test_every_post_has_a_page_of_its_own(client: FlaskClient) -> None:
    def publish(title: str) -> dict[str, Any]:
        post: dict[str, Any] = client.post("/api/posts", json={"title": title, "body": "x"}).get_json()
        return post

    first = publish("Same")
    second = publish(f"Same {first['id'] + 2}")
    third = publish("Same")
    assert len({first["slug"], second["slug"], third["slug"]}) == 3


def test_post_is_shown_escaped(client: FlaskClient) -> None:
    slug = client.post("/api/posts", json={"title": "<b>", "body": "<i>"}).get_json()["slug"]
    page = client.get(f"/blog/{slug}").text
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "<p>&lt;i&gt;</p>" in page
