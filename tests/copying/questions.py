"""What the owner of the shop asks of the ``errors`` folder they have copied."""

from pathlib import Path

import pytest
from flask import Blueprint, Flask, abort
from flask.testing import FlaskClient
from shop import create_app, errors
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.test import TestResponse

PAGE, PROBLEM = "text/html", "application/problem+json"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app().test_client()


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """The templates folder of :func:`other`, another application."""
    (tmp_path / "errors").mkdir()
    return tmp_path


@pytest.fixture
def other(templates: Path) -> Flask:
    """An application without anything yet."""
    return Flask("other", template_folder=templates)


def kind(response: TestResponse) -> tuple[int, str | None]:
    return response.status_code, response.mimetype


# The shop


@pytest.mark.parametrize(
    ("url", "status"), [("/unknown", 404), ("/backoffice/unknown", 404), ("/orders/7", 410), ("/crash", 500)]
)
def test_person_gets_a_page(client: FlaskClient, url: str, status: int) -> None:
    assert kind(client.get(url)) == (status, PAGE)


PREFIXES = ["/api", "/backoffice/stock", "/bank", "/acme/api", "/%C3%A9/api"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("method", "url", "status"),
    [("GET", "", 404), ("GET", "/unknown", 404), ("PUT", "/crash", 405), ("GET", "/crash", 500)],
)
def test_program_gets_a_problem_below_every_kind_of_prefix(
    client: FlaskClient, prefix: str, method: str, url: str, status: int
) -> None:
    assert kind(client.open(prefix + url, method=method)) == (status, PROBLEM)


@pytest.mark.parametrize("url", ["/unused/crash", "/stock/crash", "/acme/apis", "/acme/x/api", "/apis"])
def test_other_prefixes_are_for_people(client: FlaskClient, url: str) -> None:
    assert kind(client.get(url)) == (404, PAGE)


def test_who_prefers_json_gets_it(client: FlaskClient) -> None:
    response = client.get("/unknown", headers={"Accept": "application/json"})
    assert kind(response) == (404, PROBLEM)
    assert response.headers["Vary"] == "Accept"


def test_page_says_what_the_application_says(client: FlaskClient) -> None:
    assert '<p lang="en" dir="auto">Order 7 &lt;was&gt; deleted.</p>' in client.get("/orders/7").text


@pytest.mark.parametrize("url", ["/crash", "/api/crash"])
def test_crash_shows_nothing_of_itself(client: FlaskClient, url: str) -> None:
    crash = client.get(url).text
    assert "secret" not in crash
    assert "RuntimeError" not in crash


def test_error_keeps_its_headers(client: FlaskClient) -> None:
    assert set(client.put("/orders/7").allow) == {"GET", "HEAD", "OPTIONS"}
    assert set(client.put("/api/orders/7").allow) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("url", ["/unknown", "/api/unknown", "/crash", "/api/crash"])
def test_request_id_is_made_and_shown(client: FlaskClient, url: str) -> None:
    first, second = client.get(url), client.get(url)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert len(first.headers["X-Request-ID"]) == 32
    assert first.text.count(first.headers["X-Request-ID"]) == 1


def test_template_of_the_application_wins(client: FlaskClient) -> None:
    page = client.get("/unknown").text
    assert "<h1>We do not sell that</h1>" in page
    assert "Page not found" not in page


@pytest.mark.parametrize(
    ("mount_point", "home"),
    [("", "/"), ("//a.example", "/a.example/"), ("/shop", "/shop/"), ("/a%20b/caf%C3%A9", "/a%20b/caf%C3%A9/")],
)
def test_way_home_leads_to_the_mount_point(client: FlaskClient, mount_point: str, home: str) -> None:
    page = client.get("/unknown", base_url=f"http://localhost{mount_point}").text
    assert f'href="{home}">Go to the shop</a>' in page


# Problems of the shop's own


class SoldOut(errors.InvalidAPIUsage):
    code = 409
    type = "/problems/sold-out"
    title = "Sold out"
    description = "Nothing is left. Come back on Monday."
    headers = {"Retry-After": "7", "WWW-Authenticate": "Bearer"}  # noqa: RUF012


class StockError(Exception):
    """Of a library of the shop's."""


@errors.to_http_error.register
def _(error: StockError) -> HTTPException:
    return errors.service_unavailable()


def answer(error: BaseException, url: str = "/api/ask", mount_point: str = "") -> TestResponse:
    """What the shop answers when a view raises this."""
    app = create_app()

    @app.get(url)
    def view() -> str:
        raise error

    return app.test_client().get(url, base_url=f"http://localhost{mount_point}")


def problem_of(error: BaseException, mount_point: str = "") -> dict[str, object]:
    """The problem that this amounts to, but for the request ID."""
    problem = answer(error, mount_point=mount_point).get_json()
    assert problem.pop("request_id")
    return dict(problem)


def test_problem_says_what_its_class_says() -> None:
    expected = {"title": "Sold out", "status": 409, "detail": "Nothing is left. Come back on Monday."}
    assert problem_of(SoldOut()) == {"type": "/problems/sold-out", **expected}


def test_problem_without_message_and_description_has_no_detail() -> None:
    assert problem_of(errors.InvalidAPIUsage()) == {"type": "about:blank", "title": "Bad Request", "status": 400}


@pytest.mark.parametrize(
    ("error", "kind_of_problem"),
    [
        (SoldOut(), "/shop/problems/sold-out"),
        (errors.InvalidAPIUsage(), "about:blank"),
        (NotFound(), "about:blank"),
    ],
)
def test_type_that_is_a_path_is_below_the_mount_point(error: HTTPException, kind_of_problem: str) -> None:
    assert problem_of(error, "/shop")["type"] == kind_of_problem


@pytest.mark.parametrize(("url", "form"), [("/api/ask", PROBLEM), ("/ask", PAGE)])
def test_headers_of_the_class_are_sent(url: str, form: str) -> None:
    response = answer(SoldOut(), url)
    assert kind(response) == (409, form)
    assert response.headers.getlist("Retry-After") == ["7"]
    assert response.headers.getlist("WWW-Authenticate") == ["Bearer"]
    assert response.headers.getlist("Content-Type") == [response.content_type]


def test_members_of_the_standard_come_first_and_win() -> None:
    members = errors.to_problem(SoldOut("Gone.", 418, {"left": 2, "status": 7, "type": "mine", "message": "mine"}))
    standard = {"type": "/problems/sold-out", "title": "Sold out", "status": 418, "detail": "Gone."}
    assert list(members.items()) == [*standard.items(), ("left", 2)]


@pytest.mark.parametrize(("url", "form"), [("/api/ask", PROBLEM), ("/ask", PAGE)])
@pytest.mark.parametrize("error", [StockError("secret"), MemoryError("secret"), errors.service_unavailable()])
def test_overload_is_503_and_says_when_to_come_back(error: Exception, url: str, form: str) -> None:
    response = answer(error, url)
    assert kind(response) == (503, form)
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert "secret" not in response.text


# Applications put together in other ways


@pytest.mark.parametrize(
    "template",
    [
        "{{ url_for('home') }}",
        "{{ request.path }}",
        "{% if session %}{% endif %}",
        "{% extends 'layout.html' %}",
        "{% extends 'missing.html' %}",
        "{{ request_id|currency }}",
        "{{ request_id + 1 }}",
        "{% block %}",
    ],
)
def test_template_that_cannot_be_rendered_is_a_startup_error_that_names_it(
    other: Flask, templates: Path, template: str
) -> None:
    (templates / "layout.html").write_text("{{ url_for('home') }}")
    (templates / "errors/404.html").write_text(template)
    with pytest.raises(RuntimeError, match=r"errors/404\.html cannot be rendered|errors/404\.html changes"):
        errors.init_app(other)


def languages(app: Flask, url: str, *accepted: str) -> list[str | None]:
    """The languages of the pages that visitors get who accept these."""
    client = app.test_client()
    return [client.get(url, headers={"Accept-Language": tags}).headers.get("Content-Language") for tags in accepted]


def test_language_is_a_folder_of_templates(other: Flask, templates: Path) -> None:
    base = "{% extends 'errors/base.html' %}{% block way_home %}Início{% endblock %}"
    page = "{% extends 'errors/pt-BR/base.html' %}{% block heading %}Página não encontrada{% endblock %}"
    (templates / "errors/pt-BR").mkdir()
    (templates / "errors/pt-BR/base.html").write_text(base, "utf-8")
    (templates / "errors/pt-BR/404.html").write_text(page, "utf-8")
    errors.init_app(other)
    assert languages(other, "/", "pt", "pt-BR", "pt-PT,fr", "fr,pt") == ["pt-BR", "pt-BR", "pt-BR", "fr"]
    answer = other.test_client().get("/", headers={"Accept-Language": "pt"}).text
    assert "<h1>Página não encontrada</h1>" in answer
    assert ">Início</a>" in answer


def test_language_of_the_configuration_is_the_default_one(other: Flask, templates: Path) -> None:
    """With the pages that are shipped in it, but for those that the application has words of its own for."""
    base = "<html lang={{ language }}>{% block heading %}{% endblock %}"
    (templates / "errors/base.html").write_text(base)
    (templates / "errors/404.html").write_text(
        "{% extends 'errors/base.html' %}{% block heading %}unsere Worte{% endblock %}"
    )
    other.config["ERROR_PAGE_LANGUAGE"] = "de"
    errors.init_app(other)
    other.add_url_rule("/410", view_func=lambda: abort(410))
    assert languages(other, "/", "de", "", "pt", "en,fr") == ["de", "de", "de", "en"]
    assert "unsere Worte" in other.test_client().get("/", headers={"Accept-Language": "de-AT"}).text
    assert "Seite" in other.test_client().get("/410", headers={"Accept-Language": "pt"}).text


def test_page_in_one_language_is_not_for_visitors_with_another(other: Flask, templates: Path) -> None:
    (templates / "errors/404.html").write_text("<html lang=en>Not here")
    errors.init_app(other)
    assert languages(other, "/", "fr") == ["en"]
    assert other.test_client().get("/", headers={"Accept-Language": "fr"}).text == "<html lang=en>Not here"


def test_default_language_without_a_translation_is_a_start_up_error(other: Flask) -> None:
    other.config["ERROR_PAGE_LANGUAGE"] = "it"
    with pytest.raises(RuntimeError, match=r"no file it\.toml"):
        errors.init_app(other)


def test_languages_are_looked_up_by_their_subtags(other: Flask, templates: Path) -> None:
    for tag in ("zh-Hant", "pt-BR", "pt-PT"):
        (templates / "errors" / tag).mkdir()
        (templates / "errors" / tag / "404.html").write_text(f"<html lang={tag}>")
    errors.init_app(other)
    expected = {
        "zh-Hant-TW": "zh-Hant",
        "zh-hant": "zh-Hant",
        "zh-TW": "zh-Hans",
        "zh-CN": "zh-Hans",
        "zh": "zh-Hans",
        "pt-PT-x-foo": "pt-PT",
        "pt": "pt-BR",
        "pt-AO,fr": "pt-BR",
    }
    assert dict(zip(expected, languages(other, "/", *expected), strict=True)) == expected


@pytest.mark.parametrize(
    "retry_after",
    [30, -1, "120.5", "1e3", "soon", "120, 60", " 7 ", "٣", "1_0", "9" * 5000, "Wed, 21 Oct 99999 07:28:00 GMT", ""],
)
def test_any_retry_after_is_answered(retry_after: object) -> None:
    class Busy(HTTPException):
        code = 503

        def get_headers(self, environ: object, scope: object = None) -> list[tuple[str, str]]:  # environ is required
            return [("Retry-After", retry_after)]

    assert answer(Busy(), "/ask").status_code == 503


@pytest.mark.parametrize(("debug", "second"), [(True, "after"), (False, "before")])
def test_debug_mode_renders_afresh_and_production_does_not(
    other: Flask, templates: Path, debug: bool, second: str
) -> None:
    (templates / "errors/404.html").write_text("before")
    other.debug = debug
    errors.init_app(other)
    client = other.test_client()
    assert client.get("/").text == "before"
    (templates / "errors/404.html").write_text("after")
    assert client.get("/").text == second


@pytest.mark.parametrize("order", ["renderer register init", "renderer init register", "init renderer register"])
def test_registering_works_before_and_after_init_app(other: Flask, order: str) -> None:
    api = Blueprint("api", __name__, url_prefix="/api")
    steps = {
        "renderer": lambda: errors.register_renderer(api, errors.render_problem),
        "register": lambda: other.register_blueprint(api),
        "init": lambda: errors.init_app(other),
    }
    for step in order.split():
        steps[step]()
    assert kind(other.test_client().get("/api/unknown")) == (404, PROBLEM)
    assert kind(other.test_client().get("/unknown")) == (404, PAGE)


def test_renderer_of_a_registered_blueprint_is_refused(other: Flask) -> None:
    api = Blueprint("api", __name__, url_prefix="/api")
    other.register_blueprint(api)
    with pytest.raises(AssertionError, match="already been registered"):
        errors.register_renderer(api, errors.render_problem)


def test_blueprint_registered_twice_owns_both_prefixes(other: Flask) -> None:
    api = Blueprint("api", __name__)
    errors.register_renderer(api, errors.render_problem)
    errors.init_app(other)
    for version in ("v1", "v2"):
        other.register_blueprint(api, url_prefix=f"/{version}", name=version)
    answers = {version: other.test_client().get(f"/{version}/unknown").mimetype for version in ("v1", "v2", "v3")}
    assert answers == {"v1": PROBLEM, "v2": PROBLEM, "v3": PAGE}
