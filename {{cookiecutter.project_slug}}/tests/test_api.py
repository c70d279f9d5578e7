from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Headers, MakeApp
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }} import posts, tokens
from {{ cookiecutter.__package }}.database import db

NEWS = {"title": "News", "body": "Good news."}


@pytest.fixture
def news(client: FlaskClient, writer: Headers) -> TestResponse:
    """The answer to publishing a post."""
    return client.post("/api/posts", json=NEWS, headers=writer)


def assert_problem(response: TestResponse, status: int, kind: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["type"] == kind
    assert response.get_json()["reference"] == response.headers["X-Request-ID"]


def test_created_post_can_be_read(client: FlaskClient, news: TestResponse) -> None:
    assert news.status_code == 201
    post = client.get(news.headers["Location"])
    assert post.get_json() == news.get_json()
    assert post.headers["ETag"] == news.headers["ETag"]
    assert post.get_json() in client.get("/api/posts").get_json()["posts"]


def test_pages_of_the_list_hold_every_post_once_newest_first(app: Flask, client: FlaskClient) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with app.app_context(), db.session.begin():
        for number in range(7):  # three at a time in the same moment
            draft = posts.Draft(title=f"Post {number}", body="x")
            posts.add(draft, moment + timedelta(days=number // 3))
    seen: list[dict[str, Any]] = []
    url = "/api/posts?limit=2"
    while url:
        response = client.get(url)
        seen += response.get_json()["posts"]
        assert len(response.get_json()["posts"]) <= 2
        link = response.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        url = link.removeprefix("<").partition(">")[0]
    assert [post["title"] for post in seen] == [f"Post {number}" for number in (6, 5, 4, 3, 2, 1, 0)]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=1--1", "cusror=1-1"])
def test_query_that_is_not_understood_is_400(client: FlaskClient, query: str) -> None:
    response = client.get(f"/api/posts?{query}")
    assert_problem(response, 400, "/problems/invalid-query")
    assert [error["parameter"] for error in response.get_json()["errors"]] == [query.partition("=")[0]]


def test_post_that_the_client_has_is_not_sent_again(client: FlaskClient, news: TestResponse) -> None:
    headers = {"If-None-Match": news.headers["ETag"]}
    again = client.get(news.headers["Location"], headers=headers)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == news.headers["ETag"]


def test_changing_a_post_makes_a_new_version(client: FlaskClient, news: TestResponse, writer: Headers) -> None:
    url, seen = news.headers["Location"], {"If-Match": news.headers["ETag"]}
    changed = client.put(url, json={**NEWS, "body": "Bad news."}, headers=writer | seen)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != news.headers["ETag"]
    assert client.get(url).get_json() == changed.get_json() == {**news.get_json(), "body": "Bad news."}


def test_deleted_post_is_gone(client: FlaskClient, news: TestResponse, writer: Headers) -> None:
    url, seen = news.headers["Location"], {"If-Match": news.headers["ETag"]}
    assert client.delete(url, headers=writer | seen).status_code == 204
    assert client.get(url).status_code == 404
    assert client.delete(url, headers=writer | seen).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nobody_overwrites_what_they_have_not_seen(
    client: FlaskClient, news: TestResponse, writer: Headers, method: str
) -> None:
    url = news.headers["Location"]
    blind = client.open(url, method=method, json=NEWS, headers=writer)
    assert_problem(blind, 428, "/problems/match-required")
    for wrong in ('"0"', f"W/{news.headers['ETag']}", "x"):
        stale = client.open(url, method=method, json=NEWS, headers=writer | {"If-Match": wrong})
        assert_problem(stale, 412, "/problems/changed")
    assert client.get(url).get_json() == news.get_json()


def test_precondition_of_a_read(client: FlaskClient, news: TestResponse) -> None:
    url = news.headers["Location"]
    for right in ("*", news.headers["ETag"]):
        assert client.get(url, headers={"If-Match": right}).status_code == 200
    assert_problem(client.get(url, headers={"If-Match": '"0"'}), 412, "/problems/changed")


def test_slug_belongs_to_one_post(client: FlaskClient, news: TestResponse, writer: Headers) -> None:
    assert news.get_json()["slug"] == "news"
    assert_problem(client.post("/api/posts", json=NEWS, headers=writer), 409, "/problems/slug-taken")
    other = client.post("/api/posts", json={**NEWS, "slug": "other"}, headers=writer)
    seen = {"If-Match": other.headers["ETag"]}
    taking = client.put(other.headers["Location"], json={**NEWS, "slug": "news"}, headers=writer | seen)
    assert_problem(taking, 409, "/problems/slug-taken")


def test_writing_needs_a_token_that_may_write(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        reader = tokens.issue("reader", read_only=True)

    def write(authorization: str | None) -> TestResponse:
        headers = {"Authorization": authorization} if authorization else {}
        return client.post("/api/posts", json=NEWS, headers=headers)

    for none in (None, "Basic eDp5", "Bearer", f"Token {reader}"):
        assert_problem(write(none), 401, "/problems/token-required")
        assert write(none).headers["WWW-Authenticate"] == "Bearer"
    for bad in ("x", reader + "x", "1.", ".x", "999999999.x", "1" * 100, quote("é")):
        assert_problem(write(f"Bearer {bad}"), 401, "/problems/invalid-token")
        assert 'error="invalid_token"' in write(f"Bearer {bad}").headers["WWW-Authenticate"]
    assert_problem(write(f"Bearer {reader}"), 403, "/problems/read-only-token")


def test_what_is_wrong_with_a_body_is_said_where(client: FlaskClient, writer: Headers) -> None:
    response = client.post("/api/posts", json={"title": " ", "a/b": 1}, headers=writer)
    assert_problem(response, 422, "/problems/invalid-body")
    assert {error["pointer"] for error in response.get_json()["errors"]} == {"#/title", "#/body", "#/a~1b"}


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 50_001])
def test_text_that_cannot_be_stored_is_422(client: FlaskClient, writer: Headers, text: str) -> None:
    assert client.post("/api/posts", json={"title": "x", "body": text}, headers=writer).status_code == 422


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"title": NaN}', b"[" * 200_000, b"9" * 5_000, b'{"title": "\xff"}', "{}".encode("utf-16")],
    ids=["empty", "cut", "NaN", "deep", "huge number", "not UTF-8", "UTF-16"],
)
def test_malformed_json_is_400(client: FlaskClient, writer: Headers, body: bytes) -> None:
    response = client.post("/api/posts", data=body, content_type="application/json", headers=writer)
    assert response.status_code == 400
    assert response.get_json()["detail"] == "The body is not valid JSON."


def test_body_that_ends_early_is_400(client: FlaskClient, writer: Headers) -> None:
    cut = BytesIO(b'{"title": "Cut", "body": "off"}')
    length = {"CONTENT_LENGTH": "100"}
    response = client.post(
        "/api/posts", input_stream=cut, content_type="application/json", headers=writer, environ_overrides=length
    )
    assert response.status_code == 400


def test_other_media_type_is_415(client: FlaskClient, writer: Headers) -> None:
    assert client.post("/api/posts", data="title=News", headers=writer).status_code == 415


@pytest.mark.parametrize("post_id", ["0", "2147483647", "2147483648", "9" * 30, "-1", "x"])
def test_unknown_post_is_404(client: FlaskClient, post_id: str) -> None:
    assert_problem(client.get(f"/api/posts/{post_id}"), 404, "about:blank")


def test_comments_are_asked_of_another_system(client: FlaskClient, news: TestResponse) -> None:
    assert_problem(client.get("/api/posts/0/comments"), 404, "about:blank")
    assert_problem(client.get(f"{news.headers['Location']}/comments"), 404, "/problems/not-set-up")


def test_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    response = client.delete("/api/posts")
    assert_problem(response, 405, "about:blank")
    assert {"GET", "POST"} <= {method.strip() for method in response.headers["Allow"].split(",")}


@pytest.mark.parametrize("url", ["/api", "/api/", "/api//posts", "/api/posts/", "/api/posts/1/"])
def test_api_never_redirects(client: FlaskClient, url: str) -> None:
    assert_problem(client.get(url), 404, "about:blank")


def test_one_write_too_many_is_429(make_app: MakeApp) -> None:
    client = make_app(RATELIMIT_WRITES="2/minute").test_client()
    answers = [client.post("/api/posts") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        '"default";r=1',
        '"default";r=0',
        '"default";r=0',
    ]
    assert_problem(answers[2], 429, "/problems/rate-limited")
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert client.get("/api/posts").status_code == 200


def test_reads_are_limited_where_it_is_wanted(make_app: MakeApp) -> None:
    client = make_app(RATELIMIT_READS="1/minute").test_client()
    assert [client.get("/api/posts").status_code for _ in range(2)] == [200, 429]


def test_openapi_document_describes_every_operation(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    operations = {f"{method} {path}" for path, item in document["paths"].items() for method in item}
    assert operations == {
        "get /api/posts",
        "post /api/posts",
        "get /api/posts/{post_id}",
        "get /api/posts/{post_id}/comments",
        "put /api/posts/{post_id}",
        "delete /api/posts/{post_id}",
    }


def test_every_problem_of_the_api_has_an_example_and_a_page(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    for example in response["content"]["application/problem+json"]["examples"].values():
                        assert str(example["value"]["status"]) == status
                        kind = example["value"]["type"]
                        assert kind == "about:blank" or client.get(kind).status_code == 200
