"""The JSON API: posts, tokens, rate limits, comments, and its documentation."""

import gzip
import json
import re
from collections.abc import Iterator
from unittest.mock import Mock

import httpx
import pytest
import stamina
from click.testing import Result
from conftest import MakeApp
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import escape
from sqlalchemy import select
from werkzeug.test import TestResponse

from {{ cookiecutter.__package }} import posts
from {{ cookiecutter.__package }}.api import auth, limits
from {{ cookiecutter.__package }}.api.docs import problem_types
from {{ cookiecutter.__package }}.core.database import db

Headers = dict[str, str]

NEWS = {"title": "News", "body": "Good news."}


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["tokens", *args])


@pytest.fixture
def headers(app: Flask) -> Headers:
    """The headers of a client that can write."""
    return {"Authorization": f"Bearer {run(app, 'create', 'writer').output.strip()}"}


@pytest.fixture
def news(client: FlaskClient, headers: Headers) -> TestResponse:
    """The response to creating a post."""
    return client.post("/api/posts", json=NEWS, headers=headers)


@pytest.fixture
def url(news: TestResponse) -> str:
    """The path of the post."""
    return f"/api/posts/{news.get_json()['id']}"


@pytest.fixture
def if_match(news: TestResponse, headers: Headers) -> Headers:
    """The headers of a client that can write and has fetched the post."""
    return {**headers, "If-Match": news.headers["ETag"]}


def assert_problem(response: TestResponse, status: int, problem_type: str = "about:blank") -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["type"].endswith(problem_type)
    assert response.get_json()["request_id"] == response.headers["X-Request-ID"]


# Posts


def test_created_post_can_be_fetched_and_is_listed(client: FlaskClient, news: TestResponse, url: str) -> None:
    assert news.status_code == 201
    assert news.headers["Location"].endswith(url)
    post = client.get(url)
    assert post.get_json() == news.get_json()
    assert post.headers["ETag"] == news.headers["ETag"]
    assert client.get("/api/posts").get_json()["posts"] == [post.get_json()]


def test_pages_of_the_list_have_each_post_once_newest_first(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(7):
            posts.create(posts.PostInput(title=f"Post {number}", body="x"))
        db.session.commit()
    titles: list[str] = []
    query = "limit=2"
    while query:
        response = client.get(f"/api/posts?{query}")
        titles += [post["title"] for post in response.get_json()["posts"]]
        link = response.headers.get("Link", "")
        assert link == "" or link.endswith('>; rel="next"')
        query = link.partition("?")[2].partition(">")[0]
    assert titles == [f"Post {number}" for number in (6, 5, 4, 3, 2, 1, 0)]


def test_invalid_query_is_400_and_names_the_parameter(client: FlaskClient) -> None:
    invalid = ("limit=0", "limit=101", "limit=x", "limit=1&limit=2", "before=x", "before=0", "before=2147483648")
    for query in (*invalid, "befroe=1"):
        response = client.get(f"/api/posts?{query}")
        assert_problem(response, 400, "/problems/invalid-query")
        assert [error["parameter"] for error in response.get_json()["errors"]] == [query.partition("=")[0]]


def test_post_that_has_not_changed_is_304(client: FlaskClient, news: TestResponse, url: str) -> None:
    response = client.get(url, headers={"If-None-Match": news.headers["ETag"]})
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == news.headers["ETag"]


def test_updated_post_has_a_new_etag(client: FlaskClient, news: TestResponse, url: str, if_match: Headers) -> None:
    response = client.put(url, json={**NEWS, "body": "Bad news."}, headers=if_match)
    assert response.status_code == 200
    assert response.headers["ETag"] != news.headers["ETag"]
    assert client.get(url).get_json() == response.get_json() == {**news.get_json(), "body": "Bad news."}


def test_deleted_post_is_404(client: FlaskClient, url: str, if_match: Headers) -> None:
    assert client.delete(url, headers=if_match).status_code == 204
    assert_problem(client.get(url), 404)
    assert_problem(client.delete(url, headers=if_match), 404)


def test_post_is_changed_only_with_its_current_etag(
    client: FlaskClient, news: TestResponse, url: str, headers: Headers
) -> None:
    for method in ("PUT", "DELETE"):
        response = client.open(url, method=method, json=NEWS, headers=headers)
        assert_problem(response, 428, "/problems/precondition-required")
        for wrong in ('"0"', f"W/{news.headers['ETag']}", "x"):
            response = client.open(url, method=method, json=NEWS, headers={**headers, "If-Match": wrong})
            assert_problem(response, 412, "/problems/precondition-failed")
    assert client.get(url).get_json() == news.get_json()


def test_slug_of_another_post_is_409(client: FlaskClient, news: TestResponse, headers: Headers) -> None:
    assert news.get_json()["slug"] == "news"
    assert_problem(client.post("/api/posts", json=NEWS, headers=headers), 409, "/problems/slug-taken")
    other = client.post("/api/posts", json={**NEWS, "slug": "other"}, headers=headers)
    response = client.put(
        f"/api/posts/{other.get_json()['id']}",
        json={**NEWS, "slug": "news"},
        headers={**headers, "If-Match": other.headers["ETag"]},
    )
    assert_problem(response, 409, "/problems/slug-taken")


def test_invalid_body_is_422_and_names_the_fields(client: FlaskClient, headers: Headers) -> None:
    response = client.post("/api/posts", json={"title": " ", "a/b": 1}, headers=headers)
    assert_problem(response, 422, "/problems/invalid-body")
    assert {error["pointer"] for error in response.get_json()["errors"]} == {"#/title", "#/body", "#/a~1b"}


def test_unknown_post_is_404(client: FlaskClient) -> None:
    for post_id in ("0", "2147483647", "2147483648", "9" * 30, "-1", "x"):
        assert_problem(client.get(f"/api/posts/{post_id}"), 404)


def test_unknown_url_is_404_and_is_never_redirected(client: FlaskClient) -> None:
    for url in ("/api", "/api/", "/api//posts", "/api/posts/", "/api/posts/1/"):
        assert_problem(client.get(url), 404)


# Tokens


def test_write_needs_a_valid_token(client: FlaskClient, headers: Headers) -> None:
    token = headers["Authorization"].removeprefix("Bearer ")
    for value in (None, "Basic eDp5", "Bearer", f"Token {token}"):
        response = client.post("/api/posts", json=NEWS, headers={"Authorization": value} if value else {})
        assert_problem(response, 401, "/problems/token-required")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("x", token + "x", "1" * 1000, "%C3%A9", "\xe9"):
        response = client.post("/api/posts", json=NEWS, headers={"Authorization": f"Bearer {wrong}"})
        assert_problem(response, 401, "/problems/invalid-token")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_token_is_printed_once_and_only_its_hash_is_stored(app: Flask) -> None:
    text = run(app, "create", "me").output.strip()
    with app.app_context():
        token = db.session.scalars(select(auth.Token)).one()
    assert text not in repr(vars(token))
    assert run(app, "list").output == f"me\t{token.created:%Y-%m-%d}\n"


def test_token_needs_a_name_of_its_own(app: Flask) -> None:
    assert run(app, "create", "me").exit_code == 0
    assert "There is a token for me." in run(app, "create", "me").output


def test_revoked_token_is_invalid(app: Flask, client: FlaskClient, headers: Headers) -> None:
    assert run(app, "revoke", "writer").exit_code == 0
    assert_problem(client.post("/api/posts", json=NEWS, headers=headers), 401, "/problems/invalid-token")
    assert run(app, "revoke", "writer").output == "Error: There is no token for writer. flask tokens list shows them.\n"


# Rate limits


def test_write_above_the_rate_limit_is_429(make_app: MakeApp) -> None:
    client = make_app(RATELIMIT_WRITES="2/minute").test_client()
    responses = [client.post("/api/posts") for _ in range(3)]
    assert [response.status_code for response in responses] == [401, 401, 429]
    assert_problem(responses[2], 429, "/problems/rate-limited")
    assert 1 <= int(responses[2].headers["Retry-After"]) <= 60
    assert responses[2].headers["RateLimit"].startswith('"2 per 1 minute";r=0;t=')
    assert client.get("/api/posts").status_code == 200


def test_each_address_has_its_own_rate_limit(make_app: MakeApp) -> None:
    client = make_app(RATELIMIT_WRITES="1/minute", PROXY_HOPS=1).test_client()
    for address, status in (
        ("192.0.2.1", 401),
        ("192.0.2.1", 429),
        ("192.0.2.2", 401),
        ("2001:db8::1", 401),
        ("2001:db8::2", 429),  # the same /64 network
        ("2001:db8:0:1::1", 401),
        ("::ffff:192.0.2.3", 401),  # IPv4
        ("unknown", 401),
    ):
        assert client.post("/api/posts", headers={"X-Forwarded-For": address}).status_code == status


def test_view_of_any_blueprint_can_have_its_own_rate_limits(app: Flask, client: FlaskClient) -> None:
    @app.get("/log-in")
    @limits.rate_limit("2/minute; 50/day")
    def log_in() -> str:
        return "done"

    app.extensions.pop("rate_limit_storage")  # as without the API
    responses = [client.get("/log-in") for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2].mimetype == "text/html"
    assert responses[2].headers["Retry-After"]
    policies = ['"2 per 1 minute";q=2;w=60', '"50 per 1 day";q=50;w=86400']
    sent = [response.headers.getlist("RateLimit-Policy") for response in responses]
    assert sent == [policies, policies, policies[:1]]


# Comments from the upstream service

COMMENTS = b'{"comments":[{"author":"Ada","body":"Good.","published":"2026-01-01T00:00:00Z"}]}\n'


@pytest.fixture
def upstream(app: Flask) -> Iterator[Mock]:
    """An upstream service. Its ``side_effect`` is the list of the next responses, or errors of the connection."""
    app.config["COMMENTS_URL"] = "http://upstream.example/v1"
    upstream = Mock()
    with httpx.Client(transport=httpx.MockTransport(upstream), base_url=app.config["COMMENTS_URL"]) as client:
        app.extensions["comments"] = client
        yield upstream


def respond(body: bytes, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=[body])  # a list is streamed, as from a connection


def test_comments_are_fetched_with_the_request_id(client: FlaskClient, url: str, upstream: Mock) -> None:
    upstream.side_effect = [respond(COMMENTS)]
    response = client.get(f"{url}/comments", headers={"X-Request-ID": "abc"})
    assert response.data == COMMENTS
    [request] = upstream.call_args.args
    assert str(request.url) == url.replace("/api", "http://upstream.example/v1") + "/comments"
    assert request.headers["X-Request-ID"] == "abc"


def test_lost_connection_is_retried_and_a_timeout_is_not(client: FlaskClient, url: str, upstream: Mock) -> None:
    upstream.side_effect = [httpx.ConnectError("lost"), httpx.ReadError("lost"), respond(COMMENTS)]
    with stamina.set_testing(True, attempts=3):
        assert client.get(f"{url}/comments").status_code == 200
    upstream.side_effect = [httpx.ReadTimeout("slow")]
    assert_problem(client.get(f"{url}/comments"), 504)
    assert upstream.call_count == 4


def test_error_of_the_upstream_service_is_502_or_503(client: FlaskClient, url: str, upstream: Mock) -> None:
    for status, expected in ((429, 503), (503, 503), (500, 502), (404, 502), (302, 502)):
        upstream.side_effect = [respond(b"", status)]
        response = client.get(f"{url}/comments")
        assert_problem(response, expected)
        assert ("Retry-After" in response.headers) == (expected == 503)


def test_invalid_response_of_the_upstream_service_is_502(client: FlaskClient, url: str, upstream: Mock) -> None:
    for body in (b"", b"[]", b'{"comments": 1}', b"\xff", gzip.compress(COMMENTS), b" " * (1024 * 1024 + 1)):
        upstream.side_effect = [respond(body)]
        assert_problem(client.get(f"{url}/comments"), 502)


def test_comments_without_an_upstream_service_are_404(client: FlaskClient, url: str) -> None:
    assert_problem(client.get("/api/posts/0/comments"), 404)
    assert_problem(client.get(f"{url}/comments"), 404, "/problems/upstream-not-configured")


# Documentation


def test_openapi_document_describes_each_operation(app: Flask, client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    paths = document["paths"]
    documented = {(path, method) for path in paths for method in paths[path] if method != "parameters"}
    assert documented == {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.startswith("api.") and rule.endpoint != "api.openapi"
    }
    references = re.findall(r"#/components/schemas/(\w+)", json.dumps(document))
    assert set(references) <= document["components"]["schemas"].keys()


def test_each_problem_type_has_a_page(client: FlaskClient) -> None:
    index = client.get("/problems/").text
    for path, kind in problem_types().items():
        assert f'{path}">{kind.title}</a> ({kind.code})' in index
        page = client.get(path).text
        assert f"<h1>{kind.title}</h1>" in page
        assert str(escape(kind.documentation or kind.description)) in page
    assert client.get("/problems/unknown").status_code == 404
