"""The blog: pages for people."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import posts
from {{ cookiecutter.__package }}.core.database import db


def create_post(app: Flask, title: str, body: str = "x") -> None:
    with app.app_context():
        posts.create(posts.PostInput(title=title, body=body))
        db.session.commit()


@pytest.mark.parametrize("url", ["/blog/", "/blog"])
def test_empty_blog_says_so(client: FlaskClient, url: str) -> None:
    assert "There are no posts yet." in client.get(url).text


def test_newest_posts_come_first_and_older_posts_are_on_the_next_page(app: Flask, client: FlaskClient) -> None:
    for day in range(21):
        create_post(app, f"Day {day}.")
    first = client.get("/blog/").text
    assert first.index("Day 20.") < first.index("Day 1.")
    assert "Day 0." not in first
    before = first.partition("?before=")[2].partition('"')[0]
    second = client.get(f"/blog/?before={before}").text
    assert "Day 0." in second
    assert "Day 1." not in second
    assert 'rel="next"' not in second


@pytest.mark.parametrize("before", ["", "x", "0", "-1", "2147483648", "9" * 5000])
def test_page_before_an_invalid_id_is_404(client: FlaskClient, before: str) -> None:
    assert client.get(f"/blog/?before={before}").status_code == 404


def test_post_is_shown_with_its_date(app: Flask, client: FlaskClient) -> None:
    create_post(app, "Hello World")
    page = client.get("/blog/hello-world").text
    assert "<h1>Hello World</h1>" in page
    assert '<time datetime="20' in page


def test_markdown_is_converted_and_html_and_scripts_are_escaped(app: Flask, client: FlaskClient) -> None:
    create_post(app, "<b>Bold</b>", "# Heading\n\n*emphasis* <script>x</script> [link](javascript:x)")
    page = client.get("/blog/b-bold-b").text
    assert "<h1>&lt;b&gt;Bold&lt;/b&gt;</h1>" in page
    assert "<h2>Heading</h2>" in page
    assert "<em>emphasis</em>" in page
    assert "<script>x" not in page
    assert 'href="javascript' not in page


@pytest.mark.parametrize("slug", ["unknown", "%00"])
def test_unknown_post_is_404_with_a_page_of_the_blog(client: FlaskClient, slug: str) -> None:
    response = client.get(f"/blog/{slug}")
    assert response.status_code == 404
    assert "<h1>There is no such post</h1>" in response.text


def test_unknown_post_is_a_problem_for_a_client_that_prefers_json(client: FlaskClient) -> None:
    response = client.get("/blog/unknown", headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"
