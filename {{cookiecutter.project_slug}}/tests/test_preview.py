"""/_errors/, where a developer looks at every answer to an error."""

import pytest
from conftest import MakeApp
from flask.testing import FlaskClient
from markupsafe import escape
from werkzeug.exceptions import default_exceptions


@pytest.mark.parametrize("path", ["/_errors/", "/_errors/503"])
def test_preview_is_not_there_in_production(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("space", ["", "/blog", "/api"])
@pytest.mark.parametrize("language", ["en", "fa"])
def test_preview_is_what_is_sent(make_app: MakeApp, space: str, language: str) -> None:
    client = make_app(FLASK_DEBUG=True).test_client()
    same = {"X-Request-ID": "same"}
    sent = client.get(f"{space}/unknown", headers={"Accept-Language": language, **same})
    shown = client.get("/_errors/404", query_string={"space": space, "language": language}, headers=same)
    assert (shown.status, shown.data) == (sent.status, sent.data)
    assert dict(shown.headers) == dict(sent.headers)

    index = client.get("/_errors/", query_string={"space": space, "language": language}, headers=same).text
    if sent.mimetype == "text/html":
        assert index.count("srcdoc=") == 2
        assert index.count(escape(sent.text.partition("<body>")[2])) == 2
    else:
        assert escape(sent.text.rstrip()) in index


def test_preview_has_every_status_in_every_space(make_app: MakeApp) -> None:
    client = make_app(FLASK_DEBUG=True).test_client()
    for space in ("", "/blog", "/api"):
        index = client.get("/_errors/", query_string={"space": space}).text
        for status in (*default_exceptions, 507):
            assert f"status={status}&amp;" in index
            assert client.get(f"/_errors/{status}", query_string={"space": space}).status_code == status
