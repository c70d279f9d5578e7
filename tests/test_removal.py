"""An example is deleted as the README says: its folder, its line in ``create_app``, its test. The rest goes on."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from conftest import UV, Bake, flask, user_environment
from service import Service

EXAMPLES = {"blog", "api"}
MEANT_TO_FAIL = {"blog": "/blog/nothing-here", "api": "/api/posts/0"}
"""What the home page shows of the examples: how their errors look."""

pytestmark = pytest.mark.slow


@pytest.fixture(params=[("blog",), ("api",), ("blog", "api")], ids=" and ".join)
def removed(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The examples that are deleted."""
    return request.param


@pytest.fixture
def rest(bake: Bake, removed: tuple[str, ...]) -> Path:
    """The project without them."""
    project = bake()
    for name in removed:
        shutil.rmtree(project / "src/my_service" / name)
        (project / f"tests/test_{name}.py").unlink()
        remove_line(project / "src/my_service/__init__.py", rf"\.{name}:bp")
    return project


def remove_line(file: Path, pattern: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    [found] = [line for line in lines if re.search(pattern, line)]
    lines.remove(found)
    file.write_text("".join(lines))


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy has read of the libraries is kept from one project to the next."""
    return tmp_path_factory.mktemp("mypy")


def make_test(project: Path, mypy_cache: Path) -> str:
    """What it prints. It has to succeed."""
    path = os.pathsep.join([str(UV.parent), os.environ["PATH"]])
    environment = user_environment(PATH=path, MYPY_CACHE_DIR=str(mypy_cache))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "timeout": 250}
    done = subprocess.run(["make", "test"], cwd=project, env=environment, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Links(HTMLParser):
    """What a page refers to: links, styles, pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attributes if name in ("href", "src") and value}


def crawl(service: Service) -> dict[str, int]:
    """Status of everything of the service that the home page leads to."""
    seen: dict[str, int] = {}
    waiting = {"/"}
    while waiting:
        url = waiting.pop()
        answer = service.get(url, Accept="text/html")
        seen[url] = answer.status
        if answer.media_type == "text/html":
            links = {urljoin(url, link).partition("#")[0] for link in Links(answer.body.decode()).found}
            waiting |= {link for link in links if link.startswith("/")} - seen.keys()
    return seen


@pytest.fixture
def service(project: Path, rest: Path, tmp_path: Path) -> Iterator[Service]:
    """The rest under gunicorn, with what ``project`` has installed, and one post where something publishes."""
    (rest / ".venv").symlink_to(project / ".venv")
    settings = {"PYTHONPATH": str(rest / "src"), "DATABASE_URL": f"sqlite:///{tmp_path}/rest.db"}
    flask(rest, "db", "upgrade", **settings)
    if (rest / "src/my_service/blog").exists():
        flask(rest, "posts", "import", "posts/hello.md", **settings)
    with ExitStack() as stack:
        started = Service(rest, tmp_path, "", user_environment(SECRET_KEY="test", **settings))
        stack.callback(started.stop)
        yield started


def test_make_test_passes_without_an_example(rest: Path, mypy_cache: Path) -> None:
    assert " passed in " in make_test(rest, mypy_cache)


def test_pages_lead_only_to_what_is_left(service: Service, removed: tuple[str, ...]) -> None:
    home = service.get("/").body.decode()
    for name in EXAMPLES:
        assert (f'"/{name}/' in home) == (name not in removed)

    answers = crawl(service)
    failed = {url for url, status in answers.items() if status != 200}
    assert failed == {"/nothing-here", *(MEANT_TO_FAIL[name] for name in EXAMPLES - set(removed))}
    assert {"/problems/", "/static/style.css"} <= answers.keys()
    assert ("/blog/hello" in answers) == ("blog" not in removed)
    assert '"level": "error"' not in service.text


def test_models_and_schema_still_agree(project: Path, rest: Path, tmp_path: Path) -> None:
    (rest / ".venv").symlink_to(project / ".venv")
    settings = {"PYTHONPATH": str(rest / "src"), "DATABASE_URL": f"sqlite:///{tmp_path}/rest.db"}
    flask(rest, "db", "upgrade", **settings)
    assert flask(rest, "db", "check", **settings) == "No changes detected.\n"
