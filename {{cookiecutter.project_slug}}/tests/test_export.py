"""``flask errors export``: what a proxy sends when the service is down."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import Result
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from werkzeug.exceptions import default_exceptions

from {{ cookiecutter.__package }} import errors
from {{ cookiecutter.__package }}.errors.rendering import render
from {{ cookiecutter.__package }}.export import TOKEN

STATUSES = sorted({*default_exceptions, 507})


@pytest.fixture(autouse=True)
def _blueprints(app: Flask) -> None:
    """/tested-pages and /tested-too share a folder. /tested-json is for programs, and /plain below it for who knows."""
    claims: dict[str, errors.Renderer] = {
        "/tested-pages": errors.Pages("tested"),
        "/tested-too/<tenant>": errors.Pages("tested"),
        "/tested-json": errors.problem,
        "/tested-json/plain": lambda error: Response(error.name),
    }
    for prefix, renderer in claims.items():
        bp = Blueprint(f"tested-{len(prefix)}", __name__, url_prefix=prefix)
        bp.add_url_rule("/<int:status>", view_func=fail, endpoint="fail")
        errors.claim(bp, renderer)
        app.register_blueprint(bp)


def fail(status: int, tenant: str = "") -> NoReturn:
    """As it is exported: with a Retry-After where the service cannot be reached."""
    error = errors.InvalidAPIUsage(status_code=status)
    error.headers = {"Retry-After": "30"} if status in (502, 503, 504) else {}
    raise error


def export(app: Flask, folder: Path) -> Result:
    return app.test_cli_runner().invoke(args=["errors", "export", str(folder)])


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def languages(app: Flask) -> tuple[str, ...]:
    return render(app, "errors").languages


def test_every_page_and_every_problem_is_a_file(app: Flask, folder: Path) -> None:
    done = export(app, folder)
    assert done.exit_code == 0, done.output
    assert done.output.count("\n") == 1
    for status in STATUSES:
        assert (folder / f"problems/{status}.json").is_file()
        for language in languages(app):
            for space in ("errors", "tested"):
                assert (folder / f"{space}/{language}/{status}.html").is_file()
    assert not (folder / "plain").exists()
    assert {"nginx-http.conf", "nginx-server.conf", "Caddyfile"} < set(os.listdir(folder))


def test_a_page_is_as_in_the_service_but_for_the_reference(app: Flask, client: FlaskClient, folder: Path) -> None:
    export(app, folder)
    for status in (404, 429, 502, 503, 507):
        for language in languages(app):
            headers = {"Accept-Language": language, "X-Request-ID": "1-2-3"}
            answer = client.get(f"/tested-pages/{status}", headers=headers)
            page = (folder / f"tested/{language}/{status}.html").read_text()
            assert page.count(TOKEN) == 1
            assert page.replace(TOKEN, "1-2-3") == answer.text


def test_a_problem_is_as_in_the_service_but_for_the_reference(app: Flask, client: FlaskClient, folder: Path) -> None:
    export(app, folder)
    for status in STATUSES:
        answer = client.get(f"/tested-json/{status}", headers={"X-Request-ID": "1-2-3"})
        problem = (folder / f"problems/{status}.json").read_text()
        assert problem.replace(TOKEN, "1-2-3") == answer.text
        assert json.loads(problem)["reference"] == TOKEN


def test_policy_is_the_one_of_the_pages(app: Flask, client: FlaskClient, folder: Path) -> None:
    export(app, folder)
    policy = client.get("/tested-pages/404").headers["Content-Security-Policy"]
    for name in ("nginx-server.conf", "Caddyfile"):
        assert f'Content-Security-Policy "{policy}"' in (folder / name).read_text()


def test_spaces_are_told_longest_first(app: Flask, folder: Path) -> None:
    export(app, folder)
    lines = [line.strip() for line in (folder / "nginx-http.conf").read_text().splitlines() if '"~^/tested' in line]
    assert lines == [
        r'"~^/tested\-too/[^/]+(/|\z)" "tested/$error_language/$status.html";',
        r'"~^/tested\-pages(/|\z)" "tested/$error_language/$status.html";',
        r'"~^/tested\-json(/|\z)" "problems/$status.json";',
    ]


def test_below_a_mount_point(app: Flask, folder: Path) -> None:
    app.config["APPLICATION_ROOT"] = "/shop/"
    export(app, folder)
    assert 'href="/shop/"' in (folder / "errors/en/404.html").read_text()
    for name in ("nginx-http.conf", "Caddyfile"):
        assert r"~^/shop/tested\-json(/|\z)" in (folder / name).read_text()


def test_a_language_that_is_not_complete(app: Flask, folder: Path) -> None:
    """What it lacks is in the default language, and says so."""
    templates = folder / "templates/tested/it"
    templates.mkdir(parents=True)
    (templates / "404.html").write_text('<html lang="it"><style>p { color: #123 }</style>{% raw %}{{ reference }}{% endraw %}')
    bp = Blueprint("italian", __name__, template_folder=str(folder / "templates"))
    app.register_blueprint(bp)
    errors.init_app(app)
    export(app, folder)
    assert (folder / "tested/it/404.html").read_text().startswith('<html lang="it">')
    assert (folder / "tested/it/502.html").read_text() == (folder / "tested/en/502.html").read_text()
    assert (folder / "errors/it/404.html").read_text() == (folder / "errors/en/404.html").read_text()
    told = (folder / "nginx-http.conf").read_text()
    assert '"tested/it/502.html" "en";' in told
    assert '"tested/it/404.html"' not in told
    assert (folder / "nginx-server.conf").read_text().count("sha256-") == 2


def test_again_into_the_same_folder(app: Flask, folder: Path) -> None:
    export(app, folder)
    before = contents(folder)
    (folder / "errors/en/404.html").write_text("old")
    (folder / "own.html").write_text("own")
    assert export(app, folder).exit_code == 0
    assert contents(folder) == {**before, folder / "own.html": b"own"}


def test_a_file_that_is_open_keeps_its_content(app: Flask, folder: Path) -> None:
    """So does what a proxy is sending."""
    export(app, folder)
    (folder / "errors/en/404.html").write_text("old")
    with (folder / "errors/en/404.html").open() as opened:
        export(app, folder)
        assert opened.read() == "old"


def test_every_user_can_read_it(app: Flask, folder: Path) -> None:
    umask = os.umask(0o077)
    try:
        export(app, folder / "new")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(umask)
    for path in (folder / "new").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(app: Flask, folder: Path) -> None:
    (folder / "file").write_text("a file")
    refused = export(app, folder / "file")
    assert refused.exit_code == 1
    assert refused.output == f"Error: {folder}/file cannot be written: Not a directory.\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_leaves_what_was_there(app: Flask, folder: Path) -> None:
    export(app, folder)
    before = (folder / "problems/400.json").read_bytes()
    (folder / f"problems/.400.json.{os.getpid()}").symlink_to("/dev/full")
    refused = export(app, folder)
    assert refused.output == f"Error: {folder} cannot be written: No space left on device.\n"
    assert (folder / "problems/400.json").read_bytes() == before
    assert [path.name for path in (folder / "problems").iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_a_proxy_cannot_be_told_of(app: Flask, folder: Path) -> None:
    refused = export(app, folder / "$HOME")
    assert refused.exit_code == 1
    assert refused.output == "Error: nginx and Caddy cannot be told of a folder with '$' in its name.\n"
    assert list(folder.iterdir()) == []
