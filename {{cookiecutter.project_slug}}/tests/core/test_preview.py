"""``/_errors/``: the error responses, for developers."""

import pytest
from conftest import MakeApp
from flask import Blueprint
from flask.testing import FlaskClient
from markupsafe import escape

from {{ cookiecutter.__package }} import errors

PREFIXES = ("", "/tested-pages", "/tested-data")


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    app = make_app(FLASK_DEBUG=True)
    for prefix, renderer in (("/tested-pages", errors.HTMLRenderer("tested")), ("/tested-data", errors.render_problem)):
        bp = Blueprint(prefix.strip("/"), __name__, url_prefix=prefix)
        errors.register_renderer(bp, renderer)
        app.register_blueprint(bp)
    return app.test_client()


def test_preview_does_not_exist_in_production(make_app: MakeApp) -> None:
    assert make_app().test_client().get("/_errors/").status_code == 404


def test_preview_shows_the_response_that_is_sent(client: FlaskClient) -> None:
    request_id = {"X-Request-ID": "same"}
    for prefix in PREFIXES:
        sent = client.get(f"{prefix}/unknown", headers=request_id)
        shown = client.get("/_errors/404", query_string={"prefix": prefix}, headers=request_id)
        assert (shown.status, shown.mimetype, shown.data) == (sent.status, sent.mimetype, sent.data)
        assert client.get("/_errors/507", query_string={"prefix": prefix}).status_code == 507
        index = client.get("/_errors/", query_string={"prefix": prefix}, headers=request_id).text
        if sent.mimetype == "text/html":
            assert index.count(escape(sent.text.partition("<body>")[2])) == 2  # light and dark
        else:
            assert escape(sent.text.rstrip()) in index
