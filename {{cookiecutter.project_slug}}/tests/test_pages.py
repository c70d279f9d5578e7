"""The home page and the blog."""

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


def test_post_is_shown_escaped(client: FlaskClient) -> None:
    slug = client.post("/api/posts", json={"title": "<b>", "body": "<i>"}).get_json()["slug"]
    page = client.get(f"/blog/{slug}").text
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "<p>&lt;i&gt;</p>" in page
