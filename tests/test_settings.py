"""Settings in the processes of the service: what stops the start, and which mode a process is in."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Develop, Serve, user_environment
from service import TIMEOUT, Service, free_port
from writing import database_of

GUNICORN = ("gunicorn",)
CHECK = ("gunicorn", "--check-config")
FLASK = ("flask", "run")
MODULE = ("python", "-m", "my_service")
COMMANDS = pytest.mark.parametrize("command", [GUNICORN, FLASK, MODULE], ids=" ".join)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A folder with the files that ``gunicorn`` and ``flask`` look for, without ``.env``."""
    for name in ("gunicorn.conf.py", ".flaskenv"):
        shutil.copy(project / name, tmp_path)
    return tmp_path


@pytest.fixture
def run(project: Path, folder: Path) -> Run:
    """``run("gunicorn", PORT="many")`` runs a process that ends by itself."""

    def run(*command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        port = str(free_port())
        environment = user_environment(**{"PORT": port, "FLASK_RUN_PORT": port, **settings})
        program = [str(project / ".venv/bin" / command[0]), *command[1:]]
        return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    return run


def assert_refused(ended: "subprocess.CompletedProcess[str]", *beginnings: str) -> None:
    """One line for each problem, and nothing else."""
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert len(lines) == len(beginnings), ended.stderr
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("command", [CHECK, FLASK], ids=" ".join)
def test_production_needs_a_secret_key(run: Run, command: tuple[str, ...]) -> None:
    assert_refused(run(*command, SECRET_KEY=""), "SECRET_KEY: missing; put into .env what this prints: python3 -c ")


@COMMANDS
def test_every_invalid_setting_has_a_line_without_secrets(run: Run, folder: Path, command: tuple[str, ...]) -> None:
    (folder / ".env").write_text("SECRET_KEY=secret\nMAX_CONTENT_LENGTH=1 MB\n")
    ended = run(
        *command,
        DATABASE_URL="mysql://me:secret@127.0.0.1/service",
        LOG_LEVEL="LOUD",
        PORT="many",
        RATELIMIT_STORAGE_URI="memcached://me:secret@127.0.0.1",
        RATELIMIT_WRITES="many",
        SENTRY_DSN="http://secret",
    )
    assert_refused(
        ended,
        "DATABASE_URL: neither SQLite in a file nor ",
        "LOG_LEVEL 'LOUD': input should",
        "MAX_CONTENT_LENGTH '1 MB': input should be a valid integer",
        "PORT 'many': input should",
        "RATELIMIT_STORAGE_URI: ",
        "RATELIMIT_WRITES 'many': ",
        "SENTRY_DSN: string should match ",
    )
    assert "secret" not in ended.stderr


def test_invalid_settings_file(run: Run, folder: Path) -> None:
    file = folder / "settings.toml"
    settings = {"SECRET_KEY": "secret", "SETTINGS_FILE": file.name}
    assert_refused(run(*GUNICORN, **settings), "SETTINGS_FILE: settings.toml cannot be read as TOML")
    file.write_bytes(b'LOG_LEVEL = "\xff"\n')
    assert_refused(run(*GUNICORN, **settings), "SETTINGS_FILE: settings.toml cannot be read as TOML")
    file.write_text('SENTRY_DNS = ""\nLOG_LEVEL = 3\n')
    assert_refused(run(*GUNICORN, **settings), "LOG_LEVEL 3: input", "SENTRY_DNS: unknown setting; see config.py")


def test_env_file_that_is_not_utf8(run: Run, folder: Path) -> None:
    (folder / ".env").write_bytes(b"SECRET_KEY=\xff\n")
    assert_refused(run(*GUNICORN), ".env: cannot be read as UTF-8")


def test_check_config_prints_nothing_with_valid_settings(run: Run) -> None:
    ended = run(*CHECK, SECRET_KEY="secret")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_blank_variables_count_as_not_set(run: Run) -> None:
    names = run("python", "-c", "from my_service.config import Settings; print(*Settings.model_fields)").stdout.split()
    assert {"FLASK_DEBUG", "SETTINGS_FILE", "TRUSTED_HOSTS", "SENTRY_DSN"} < set(names)
    show = ("python", "-c", "from my_service.config import load; print(load().model_dump_json())")
    expected = run(*show, SECRET_KEY="secret", PORT="")
    assert expected.returncode == 0, expected.stderr
    assert run(*show, **dict.fromkeys(names, "") | {"SECRET_KEY": "secret"}).stdout == expected.stdout


# Modes


def test_plain_gunicorn_is_production(serve: Serve) -> None:
    service = serve(
        "def crash(): raise RuntimeError('boom')\n"
        "app.add_url_rule('/crash', view_func=crash)\n"
        "app.add_url_rule('/mode', 'mode', lambda: [app.debug, app.testing])\n"
    )
    assert service.get("/mode").json == [False, False]
    assert_no_debugger(service)


def test_gunicorn_refuses_debug_mode(run: Run) -> None:
    assert_refused(run(*GUNICORN, FLASK_DEBUG="1"), "FLASK_DEBUG: Gunicorn is for production; remove the setting")


@pytest.mark.parametrize(
    ("command", "settings"),
    [(("flask", "run", "--debug"), {}), (FLASK, {"FLASK_DEBUG": "true"}), (MODULE, {"FLASK_DEBUG": ""})],
    ids=str,
)
def test_development_needs_no_setting_and_has_the_debugger(
    develop: Develop, command: tuple[str, ...], settings: dict[str, str]
) -> None:
    answer = develop(*command, **settings).get("/crash")
    assert answer.status == 500
    assert b"<title>RuntimeError: boom" in answer.body
    assert b"EVALEX = true" in answer.body


@pytest.mark.parametrize("command", [FLASK, MODULE], ids=" ".join)
def test_switched_off_debug_mode_has_no_debugger(develop: Develop, command: tuple[str, ...]) -> None:
    assert_no_debugger(develop(*command, FLASK_DEBUG="0", SECRET_KEY="secret"))


def assert_no_debugger(service: Service) -> None:
    answer = service.get("/crash")
    assert answer.status == 500
    assert b"Sorry, there is a problem with this service" in answer.body
    assert b"boom" not in answer.body
    assert service.get("/console").status == 404


def test_errors_of_development_are_those_of_production(
    develop: Develop, serve: Serve, project: Path, tmp_path: Path
) -> None:
    development, production = develop(*MODULE, DATABASE_URL=database_of(project, tmp_path)), serve()
    for method, path, status in (
        ("GET", "/unknown", 404),
        ("GET", "/blog/unknown", 404),
        ("GET", "/api/unknown", 404),
        ("GET", "/api/posts?limit=0", 400),
        ("DELETE", "/", 405),
        ("DELETE", "/api/posts", 405),
        ("DELETE", "/api/posts/1", 401),
    ):
        answer = comparable(development, method, path)
        assert answer[0] == status
        assert answer == comparable(production, method, path)


def comparable(service: Service, method: str, path: str) -> tuple[int, bytes, dict[str, object]]:
    """Return a response without the headers of the server."""
    answer = service.ask(method, path, headers={"X-Request-ID": "same"})
    own = {name: value for name, value in answer.headers.items() if name not in ("Server", "Date", "Connection")}
    headers: dict[str, object] = {name: value for name, value in own.items() if not name.startswith("RateLimit")}
    if "Allow" in headers:
        headers["Allow"] = set(answer.headers["Allow"].split(", "))
    return answer.status, answer.body, headers
