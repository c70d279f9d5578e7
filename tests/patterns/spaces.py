"""Whose URL is it, and what a client outside every registered prefix is answered with."""

from time import perf_counter

import pytest
from asking import PAGE, PROBLEM, ask, kind, raising
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from my_service import errors
from werkzeug.exceptions import HTTPException, NotFound

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"
VARY = {PAGE: "Accept-Language, Accept", PROBLEM: "Accept"}
"""Of an answer that no renderer is registered for."""


# Ownership


@pytest.mark.parametrize("accept", [None, BROWSER])
@pytest.mark.parametrize(
    "url", ["/api", "/api/", "/api/x", "/api//x", "/%61pi/x", "/api%2Fx", "/api/x.html", "/api/%0A"]
)
def test_url_below_the_prefix_is_the_apis(client: FlaskClient, url: str, accept: str | None) -> None:
    response = client.get(url, headers={"Accept": accept} if accept else None)
    assert kind(response) == (404, PROBLEM)
    assert "Vary" not in response.headers


@pytest.mark.parametrize("url", ["/apix", "/api.json", "/API/x", "/Api", "/api%0A", "/api%20/x", "/x/api", "/", "/ap"])
def test_url_beside_the_prefix_is_not(client: FlaskClient, url: str) -> None:
    response = client.delete(url)
    assert kind(response) == (405 if url == "/" else 404, PAGE)
    assert response.headers["Vary"] == VARY[PAGE]


def test_page_of_a_blueprint_is_a_problem_for_who_prefers_json(client: FlaskClient) -> None:
    response = client.get("/blog/x/y", headers={"Accept": "application/json"})
    assert kind(response) == (404, PROBLEM)
    assert response.headers["Vary"] == "Accept"


def claimed(app: Flask, *prefixes: str | None) -> FlaskClient:
    """Blueprints with these prefixes, registered in this order; what goes wrong there is answered with the prefix."""
    for number, prefix in enumerate(prefixes):
        blueprint = Blueprint(f"blueprint-{number}", __name__, url_prefix=prefix)

        def render(error: HTTPException, prefix: str | None = prefix) -> Response:
            return Response(str(prefix), mimetype="text/plain")

        errors.register_renderer(blueprint, render)
        app.register_blueprint(blueprint)
    return app.test_client()


@pytest.mark.parametrize("turn", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize(
    ("prefixes", "url", "owner"),
    [
        (("/shop", "/shop/admin"), "/shop/admin/x", "/shop/admin"),
        (("/shop", "/shop/admin"), "/shop/administrator", "/shop"),
        (("/shop", None), "/shop/x", "/shop"),
        (("/shop", None), "/x", "None"),
        (("/<tenant>/shop", "/acme/shop"), "/acme/shop/x", "/acme/shop"),
        (("/<tenant>/shop", "/acme/shop"), "/other/shop/x", "/<tenant>/shop"),
        (("/v<int:version>", "/shop"), "/v2/x", "/v<int:version>"),
    ],
    ids=str,
)
def test_longest_prefix_wins_in_any_order(
    app: Flask, prefixes: tuple[str | None, ...], url: str, owner: str, turn: int
) -> None:
    response = claimed(app, *prefixes[::turn]).get(url)
    assert (response.status_code, response.text) == (404, owner)


@pytest.mark.parametrize("url", ["/axb/x", "/shop", "/v/shop", "/v2/x/shop"])
def test_prefix_is_no_pattern_beyond_its_variables(app: Flask, url: str) -> None:
    assert kind(claimed(app, "/a.b", "/v<int:version>/shop").get(url)) == (404, PAGE)


def test_space_within_the_apis_can_be_claimed_by_another_renderer(app: Flask) -> None:
    client = claimed(app, "/api/admin")
    assert client.get("/api/admin/x").text == "/api/admin"
    assert kind(client.get("/api/x")) == (404, PROBLEM)


# Negotiation outside every registered prefix


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, PAGE),
        (BROWSER, PAGE),
        (AXIOS, PROBLEM),
        ("application/json", PROBLEM),
        ("application/problem+json", PROBLEM),
        ("text/html;q=0.5, application/json;q=0.9", PROBLEM),
        ("text/html;q=0.9, application/json;q=0.5", PAGE),
        ("text/html, application/json", PAGE),
        ("application/json;q=0, text/html", PAGE),
        ("image/png", PAGE),
    ],
)
def test_client_that_prefers_json_gets_a_problem(client: FlaskClient, accept: str | None, form: str) -> None:
    response = client.get("/unknown", headers={"Accept": accept} if accept is not None else None)
    assert kind(response) == (404, form)
    assert response.headers["Vary"] == VARY[form]


@pytest.mark.parametrize(
    "accept",
    [
        "json",
        "application/json;q=many",
        "\xff/json",
        "application/json" + "," * 100_000,
        'json;a="\\' * 10_000,
    ],
    ids=lambda accept: ascii(accept[:24]),
)
def test_malformed_or_huge_accept_changes_nothing_but_the_form(client: FlaskClient, accept: str) -> None:
    start = perf_counter()
    response = client.get("/unknown", headers={"Accept": accept})
    assert perf_counter() - start < 5
    assert response.status_code == 404
    assert response.headers["Vary"] == VARY[response.mimetype]


def test_vary_of_the_error_is_kept(app: Flask) -> None:
    class Varying(NotFound):
        def get_headers(self, *args: object, **kwargs: object) -> list[tuple[str, str]]:
            return [("Vary", "Cookie")]

    response = ask(app, raising(Varying()), "/ask")
    assert [name.strip() for name in response.headers["Vary"].split(",")] == ["Accept-Language", "Cookie", "Accept"]
