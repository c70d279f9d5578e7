"""``flask errors export``: the files that a proxy sends when the service is down."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import Result
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import default_exceptions

from {{ cookiecutter.__package }} import errors
from {{ cookiecutter.__package }}.errors.export import REQUEST_ID


@pytest.fixture(autouse=True)
def _blueprints(app: Flask) -> None:
    renderers: dict[str, errors.Renderer] = {
        "/tested-pages/<tenant>": errors.HTMLRenderer("tested"),
        "/tested-data": errors.render_problem,
    }
    for prefix, renderer in renderers.items():
        bp = Blueprint(f"tested{len(prefix)}", __name__, url_prefix=prefix)
        bp.add_url_rule("/<int:status>", view_func=fail)
        errors.register_renderer(bp, renderer)
        app.register_blueprint(bp)


def fail(status: int, tenant: str = "") -> NoReturn:
    error = errors.InvalidAPIUsage(status_code=status)
    error.headers = {"Retry-After": "30"} if status in (502, 503, 504) else {}
    raise error


def export(app: Flask, folder: Path) -> Result:
    return app.test_cli_runner().invoke(args=["errors", "export", str(folder)])


def test_each_page_and_problem_is_a_file(app: Flask, tmp_path: Path) -> None:
    result = export(app, tmp_path / "new")
    assert result.exit_code == 0, result.output
    for status in (*default_exceptions, 507):
        assert (tmp_path / f"new/problems/{status}.json").is_file()
        for language in errors.HTMLRenderer("errors").page_set(app).languages:
            for folder in ("errors", "tested"):
                assert (tmp_path / f"new/{folder}/{language}/{status}.html").is_file()
    assert {"nginx-http.conf", "nginx-server.conf", "Caddyfile"} <= set(os.listdir(tmp_path / "new"))


def test_files_are_the_responses_of_the_service(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    export(app, tmp_path)
    default = errors.HTMLRenderer("errors").page_set(app).languages[0]
    headers = {"X-Request-ID": "1-2-3"}
    for status in (404, 429, 502, 503):
        page = (tmp_path / f"tested/{default}/{status}.html").read_text()
        assert page.replace(REQUEST_ID, "1-2-3") == client.get(f"/tested-pages/x/{status}", headers=headers).text
        problem = (tmp_path / f"problems/{status}.json").read_text()
        assert json.loads(problem)["request_id"] == REQUEST_ID
        assert problem.replace(REQUEST_ID, "1-2-3") == client.get(f"/tested-data/{status}", headers=headers).text


def test_configuration_has_the_policy_and_the_prefixes(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    app.config["APPLICATION_ROOT"] = "/shop/"
    export(app, tmp_path)
    policy = client.get("/tested-pages/x/404").headers["Content-Security-Policy"]
    for name in ("nginx-server.conf", "Caddyfile"):
        assert f'Content-Security-Policy "{policy}"' in (tmp_path / name).read_text()
    for name in ("nginx-http.conf", "Caddyfile"):
        assert r"~^/shop/tested\-data(/|\z)" in (tmp_path / name).read_text()
        assert r"~^/shop/tested\-pages/[^/]+(/|\z)" in (tmp_path / name).read_text()


def test_folder_that_cannot_be_used_is_one_sentence(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    result = export(app, tmp_path / "file")
    assert (result.exit_code, result.output) == (1, f"Error: {tmp_path}/file cannot be written: Not a directory.\n")
    result = export(app, tmp_path / "$HOME")
    assert result.exit_code == 1
    assert "cannot hold the '$' in" in result.output
    assert not (tmp_path / "$HOME").exists()
