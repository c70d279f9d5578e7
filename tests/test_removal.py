"""Changes that the owner of a project makes as its documents say. After each one ``make check`` of the project passes.

The changed project is a copy that uses the environment of an installed one, so that nothing is installed again.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from conftest import UV, flask, install, install_once, locked, shared_folder, user_environment
from service import Service

SOURCE = "src/my_service"
EXAMPLES = [("blog",), ("api",), ("blog", "api")]
ERROR_EXAMPLES = {"blog": "/blog/nothing-here", "api": "/api/posts/0"}
"""Links on the home page that show an error."""


class Copy:
    """A copy of an installed project.

    :param installed: the project whose virtual environment is used.
    """

    def __init__(self, installed: Path, folder: Path) -> None:
        ignore = shutil.ignore_patterns(".venv", ".*_cache", "__pycache__", "instance", "build")
        self.folder = shutil.copytree(installed, folder / installed.name, ignore=ignore)
        (self.folder / ".venv").symlink_to(installed / ".venv")
        self.settings = {"PYTHONPATH": str(self.folder / "src"), "DATABASE_URL": f"sqlite:///{folder}/service.db"}
        self.cache = installed / ".mypy_cache"

    def file(self, path: str) -> Path:
        return self.folder / path.replace("SOURCE", SOURCE)

    def write(self, path: str, text: str) -> None:
        self.file(path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = self.file(path).read_text()
        assert text.count(old) == 1, f"{old!r} is in {path} {text.count(old)} times"
        self.write(path, text.replace(old, new))

    def append(self, path: str, text: str) -> None:
        self.write(path, self.file(path).read_text() + text)

    def remove_lines(self, path: str, *patterns: str) -> None:
        """Remove the line that begins with each pattern."""
        lines = self.file(path).read_text().splitlines(keepends=True)
        for pattern in patterns:
            [line] = [line for line in lines if re.match(pattern, line)]
            lines.remove(line)
        self.write(path, "".join(lines))

    def add_extension(self, imports: str, objects: str, setup: str) -> None:
        """Add an extension to ``create_app()``."""
        self.replace("SOURCE/__init__.py", "from flask import Flask\n", f"from flask import Flask\n{imports}\n")
        self.replace("SOURCE/__init__.py", "\n\ndef create_app(", f"\n{objects}\n\n\ndef create_app(")
        self.replace("SOURCE/__init__.py", "    core.init_app(app)", f"    {setup}\n\n    core.init_app(app)")

    def remove_example(self, name: str) -> None:
        """Delete the folder, the tests and the lines in ``create_app()``."""
        shutil.rmtree(self.file(f"SOURCE/{name}"))
        self.file(f"tests/test_{name}.py").unlink()
        self.replace("SOURCE/__init__.py", f" {name},", "")
        self.remove_lines("SOURCE/__init__.py", rf"    .*\({name}\.bp\)")
        if name == "api":
            self.remove_lines("SOURCE/__init__.py", r"from \.api import docs", r"    .*\(docs\.bp\)")

    def flask(self, *command: str) -> str:
        return flask(self.folder, *command, **self.settings)

    def check(self, **settings: str) -> None:
        """Run ``make check``: format, lint, types, import contract and tests."""
        environment = user_environment(
            PATH=os.pathsep.join([str(UV.parent), os.environ["PATH"]]),
            PYTHONPATH=self.settings["PYTHONPATH"],
            UV_NO_SYNC="1",
            UV_FROZEN="1",
            MYPY_CACHE_DIR=str(self.cache),
            **settings,
        )
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "timeout": 250}
        done = subprocess.run(["make", "check"], cwd=self.folder, env=environment, **options)
        assert done.returncode == 0, done.stdout
        assert " passed in " in done.stdout


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Copy:
    return Copy(project, tmp_path)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with Flask-Login and Flask-WTF, which have no types."""
    project = install_once(tmp_path_factory, description="With extensions.")
    with locked(shared_folder(tmp_path_factory) / "extended.lock"):
        command = [UV, "add", "--quiet", "flask-login", "flask-wtf"]
        subprocess.run(command, cwd=project, env=user_environment(), check=True)
        install(project)  # the dev group too
    return project


@pytest.mark.parametrize("names", [*EXAMPLES[:2], pytest.param(EXAMPLES[2], marks=pytest.mark.slow)], ids=" and ".join)
def test_examples_are_removed(copy: Copy, names: tuple[str, ...]) -> None:
    for name in names:
        copy.remove_example(name)
    copy.check()


@pytest.mark.parametrize("names", EXAMPLES, ids=" and ".join)
def test_tables_of_removed_examples_are_dropped_by_a_migration(copy: Copy, names: tuple[str, ...]) -> None:
    for name in names:
        copy.remove_example(name)
    copy.flask("db", "upgrade")
    copy.flask("db", "revision", "Drop tables of the examples")
    copy.flask("db", "upgrade")
    assert copy.flask("db", "check") == "No changes detected.\n"


class Links(HTMLParser):
    """The links, style sheets and pictures of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.urls |= {value for name, value in attributes if name in ("href", "src") and value}


def crawl(service: Service) -> dict[str, int]:
    """Return the status of each URL that the home page leads to."""
    statuses: dict[str, int] = {}
    waiting = {"/"}
    while waiting:
        url = waiting.pop()
        answer = service.get(url, Accept="text/html")
        statuses[url] = answer.status
        if answer.media_type == "text/html":
            links = {urljoin(url, link).partition("#")[0] for link in Links(answer.body.decode()).urls}
            waiting |= {link for link in links if link.startswith("/")} - statuses.keys()
    return statuses


@pytest.fixture(params=EXAMPLES, ids=" and ".join)
def removed(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


@pytest.fixture
def service(copy: Copy, removed: tuple[str, ...], tmp_path: Path) -> Iterator[Service]:
    """The project without examples, under Gunicorn."""
    for name in removed:
        copy.remove_example(name)
    copy.flask("db", "upgrade")
    service = Service(copy.folder, tmp_path, "", user_environment(SECRET_KEY="test", **copy.settings))
    yield service
    service.stop()


def test_pages_have_no_links_to_removed_examples(service: Service, removed: tuple[str, ...]) -> None:
    statuses = crawl(service)
    remaining = ERROR_EXAMPLES.keys() - {*removed}
    for name in ERROR_EXAMPLES:
        assert any(url.startswith(f"/{name}/") for url in statuses) == (name in remaining)
    assert {url for url, status in statuses.items() if status != 200} == {
        "/nothing-here",
        *(ERROR_EXAMPLES[name] for name in remaining),
    }
    assert '"level": "ERROR"' not in service.text


@pytest.mark.slow
def test_language_is_added(copy: Copy) -> None:
    spanish = copy.file("SOURCE/errors/translations/es.toml").read_text()
    copy.write(
        "SOURCE/errors/translations/it.toml",
        spanish.replace("# Spanish.", "# Italian.").replace("Página no encontrada", "Pagina non trovata"),
    )
    copy.write(
        "tests/test_italian.py",
        '''"""The page in Italian."""

from flask.testing import FlaskClient


def test_page_is_in_italian(client: FlaskClient) -> None:
    response = client.get("/nothing-here", headers={"Accept": "text/html", "Accept-Language": "it"})
    assert response.headers["Content-Language"] == "it"
    assert "Pagina non trovata" in response.text
''',
    )
    copy.check()


def test_languages_are_deleted(copy: Copy) -> None:
    shutil.rmtree(copy.file("SOURCE/errors/translations"))
    copy.check()


def test_application_root_is_set(copy: Copy) -> None:
    copy.write(".env", "APPLICATION_ROOT=/library\n")
    copy.check(APPLICATION_ROOT="/library", FLASK_APPLICATION_ROOT="/library")


def test_table_is_added_in_a_new_file(copy: Copy) -> None:
    copy.write("SOURCE/orders.py", ORDERS)
    copy.replace("SOURCE/__init__.py", "home\n", "home, orders\n")
    copy.replace("SOURCE/__init__.py", "(home.bp)\n", "(home.bp)\n    app.register_blueprint(orders.bp)\n")
    copy.write("tests/test_orders.py", TEST_ORDERS)
    copy.flask("db", "upgrade")
    copy.flask("db", "revision", "Orders")
    migrations = sorted(copy.folder.glob("migrations/*.py"))
    assert len(migrations) == 2
    assert "'orders'" in "".join(migration.read_text() for migration in migrations)
    copy.flask("db", "upgrade")
    assert copy.flask("db", "check") == "No changes detected.\n"
    run = [UV, "run", "--no-sync", "--frozen", "ruff", "format", "--quiet", "migrations"]
    subprocess.run(run, cwd=copy.folder, env=user_environment(), check=True)
    copy.check()


ORDERS = '''"""Orders."""

from flask import Blueprint, abort
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .core.database import Model, db, transaction

bp = Blueprint("orders", __name__, url_prefix="/orders")


class Order(Model):
    """An order."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(String(200), unique=True)


@bp.post("/<item>")
@transaction
def create(item: str) -> tuple[str, int]:
    db.session.add(Order(item=item))
    return item, 201


@bp.get("/<int:order_id>")
def show(order_id: int) -> str:
    order = db.session.get(Order, order_id)
    if order is None:
        abort(404, "There is no such order.")
    return order.item
'''
TEST_ORDERS = '''"""Orders."""

from flask.testing import FlaskClient


def test_order_is_stored(client: FlaskClient) -> None:
    assert client.post("/orders/pen").status_code == 201
    assert client.get("/orders/1").text == "pen"
    assert "There is no such order." in client.get("/orders/7", headers={"Accept": "text/html"}).text


def test_order_with_the_same_item_is_a_conflict(client: FlaskClient) -> None:
    assert client.post("/orders/pen").status_code == 201
    assert client.post("/orders/pen").status_code == 409
'''


def test_flask_login_is_added(extended: Path, tmp_path: Path) -> None:
    copy = Copy(extended, tmp_path)
    copy.add_extension(
        "from flask_login import LoginManager",
        "login_manager = LoginManager()",
        "login_manager.init_app(app)\n    login_manager.user_loader(lambda user_id: None)",
    )
    copy.replace(
        "SOURCE/home.py", "from . import errors\n", "from . import errors\nfrom .core.database import transaction\n"
    )
    copy.replace(
        "SOURCE/home.py",
        "from flask import Blueprint, Response, render_template, send_file\n",
        "from flask import Blueprint, Response, render_template, send_file\n"
        "from flask_login import UserMixin, login_required\n",
    )
    copy.append(
        "SOURCE/home.py",
        '''

class User(UserMixin):
    """A user."""


@bp.post("/account")
@login_required
@transaction
def account() -> str:
    return "account"
''',
    )
    copy.write(
        "tests/test_login.py",
        '''"""Login."""

from flask.testing import FlaskClient


def test_login_is_required(client: FlaskClient) -> None:
    page = client.post("/account", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert page.headers["X-Request-ID"] in page.text
''',
    )
    copy.check()


def test_csrf_protection_is_switched_on(extended: Path, tmp_path: Path) -> None:
    copy = Copy(extended, tmp_path)
    copy.add_extension(
        "from flask_wtf import CSRFProtect",
        "csrf = CSRFProtect()",
        "csrf.init_app(app)\n    csrf.exempt(api.bp)  # its requests have tokens",
    )
    copy.append("SOURCE/home.py", '\n\n@bp.post("/form")\ndef form() -> str:\n    return "sent"\n')
    copy.write(
        "tests/test_csrf.py",
        '''"""CSRF protection."""

from conftest import MakeApp


def test_form_without_token_is_refused(make_app: MakeApp) -> None:
    page = make_app(WTF_CSRF_ENABLED=True).test_client().post("/form", headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert page.headers["X-Request-ID"] in page.text


def test_protection_can_be_switched_off_in_tests(make_app: MakeApp) -> None:
    assert make_app(WTF_CSRF_ENABLED=False).test_client().post("/form").text == "sent"
''',
    )
    copy.check()


def test_database_is_removed(copy: Copy) -> None:
    """The tests are left out: their fixtures are for a project with a database."""
    for name in ("blog", "api"):
        copy.remove_example(name)
    for path in ("SOURCE/core/database", "migrations"):
        shutil.rmtree(copy.file(path))
    for path in ("SOURCE/posts.py", "SOURCE/comments.py"):
        copy.file(path).unlink()
    copy.replace("SOURCE/core/__init__.py", "import cli, database,", "import cli,")
    copy.remove_lines("SOURCE/core/__init__.py", r"    database\.init_app")
    copy.remove_lines("SOURCE/config.py", r"from \.core\.database", r"    DATABASE_URL: ", r'    """sqlite:///NAME\.db')
    make_format = (["ruff", "check", "--fix", "src"], ["ruff", "format", "src"])
    for command in (*make_format, ["mypy", "src"], ["lint-imports"]):
        program = copy.folder / ".venv/bin" / command[0]
        environment = user_environment(PYTHONPATH=copy.settings["PYTHONPATH"], MYPY_CACHE_DIR=str(copy.cache))
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run([program, *command[1:]], cwd=copy.folder, env=environment, **options)
        assert done.returncode == 0, done.stdout
    assert "problem" not in copy.flask("doctor").replace("no problem found", "")
