"""Settings as the processes of the service meet them: what keeps one from starting, and which mode it is in."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Develop, Serve, user_environment
from service import TIMEOUT, Answer, Service, free_port
from writing import database_of

GUNICORN = ("gunicorn",)
CHECK = ("gunicorn", "--check-config")
FLASK = ("flask", "run")
MODULE = ("python", "-m", "my_service")
DEVELOPMENT = [("flask", "run", "--debug"), MODULE]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """Where a process is started: the files that ``gunicorn`` and ``flask`` look for, and no ``.env`` yet."""
    for name in ("gunicorn.conf.py", ".flaskenv"):
        shutil.copy(project / name, tmp_path)
    return tmp_path


@pytest.fixture
def run(project: Path, folder: Path) -> Run:
    """``run("gunicorn", PORT="many")``: a process that ends by itself, and what it said."""

    def run(*command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        port = str(free_port())
        environment = user_environment(**{"PORT": port, "FLASK_RUN_PORT": port, **settings})
        program = str(project / ".venv/bin" / command[0])
        return subprocess.run(
            [program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )

    return run


def assert_refused(ended: "subprocess.CompletedProcess[str]", *beginnings: str) -> None:
    """One line for each problem, and nothing else."""
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert len(lines) == len(beginnings), ended.stderr
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("command", [GUNICORN, CHECK, FLASK], ids=" ".join)
def test_production_needs_a_secret_key(run: Run, command: tuple[str, ...]) -> None:
    assert_refused(run(*command), "SECRET_KEY: missing; put into .env what this prints: python3 -c ")
    assert_refused(run(*command, SECRET_KEY=""), "SECRET_KEY: missing; put into .env what this prints: python3 -c ")


@pytest.mark.parametrize("command", [GUNICORN, CHECK, FLASK, MODULE], ids=" ".join)
class TestWrongSetting:
    def test_every_one_has_its_line(self, run: Run, command: tuple[str, ...]) -> None:
        ended = run(*command, SECRET_KEY="secret", PORT="many", LOG_LEVEL="LOUD", PROXY_HOPS="-1")
        assert_refused(ended, "LOG_LEVEL 'LOUD': input should", "PORT 'many': input should", "PROXY_HOPS '-1': input")
        assert "secret" not in ended.stderr

    def test_secret_of_another_server_is_not_shown(self, run: Run, command: tuple[str, ...]) -> None:
        ended = run(
            *command,
            SECRET_KEY="secret",
            DATABASE_URL="mysql://me:secret@127.0.0.1/service",
            RATELIMIT_STORAGE_URI="memcached://me:secret@127.0.0.1",
            RATELIMIT_WRITES="many",
        )
        beginnings = (
            "DATABASE_URL: neither SQLite in a file nor ",
            "RATELIMIT_STORAGE_URI: ",
            "RATELIMIT_WRITES 'many': ",
        )
        assert_refused(ended, *beginnings)
        assert "secret" not in ended.stderr

    def test_in_env_file(self, run: Run, folder: Path, command: tuple[str, ...]) -> None:
        (folder / ".env").write_text("SECRET_KEY=secret\nMAX_CONTENT_LENGTH=1 MB\n")
        assert_refused(run(*command), "MAX_CONTENT_LENGTH '1 MB': input should be a valid integer")

    def test_unknown_name_in_settings_file(self, run: Run, folder: Path, command: tuple[str, ...]) -> None:
        (folder / "settings.toml").write_text('SECRET_KEY = "secret"\nSENTRY_DNS = ""\nLOG_LEVEL = 3\n')
        ended = run(*command, SETTINGS_FILE="settings.toml")
        assert_refused(ended, "LOG_LEVEL 3: input should be", "SENTRY_DNS: not a setting; config.py has their names")

    def test_missing_settings_file(self, run: Run, command: tuple[str, ...]) -> None:
        ended = run(*command, SECRET_KEY="secret", SETTINGS_FILE="missing.toml")
        assert_refused(ended, "SETTINGS_FILE: missing.toml cannot be read as TOML")

    def test_settings_file_that_is_no_toml(self, run: Run, folder: Path, command: tuple[str, ...]) -> None:
        (folder / "settings.toml").write_bytes(b'SECRET_KEY = "\xff"\n')
        ended = run(*command, SECRET_KEY="secret", SETTINGS_FILE="settings.toml")
        assert_refused(ended, "SETTINGS_FILE: settings.toml cannot be read as TOML")


@pytest.mark.parametrize("command", [GUNICORN, CHECK, MODULE], ids=" ".join)  # `flask` reads .env before the service
def test_env_file_that_is_not_utf8(run: Run, folder: Path, command: tuple[str, ...]) -> None:
    (folder / ".env").write_bytes(b"SECRET_KEY=\xff\n")
    assert_refused(run(*command), ".env")


def test_check_config_says_nothing_when_all_is_well(run: Run) -> None:
    ended = run(*CHECK, SECRET_KEY="secret")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_blank_variables_count_as_unset(run: Run) -> None:
    names = run("python", "-c", "from my_service.config import Settings; print(*Settings.model_fields)").stdout.split()
    assert {"FLASK_DEBUG", "SETTINGS_FILE", "TRUSTED_HOSTS", "SENTRY_DSN"} < set(names)
    show = ("python", "-c", "from my_service.config import load; print(load().model_dump_json())")
    blank = dict.fromkeys(names, "") | {"SECRET_KEY": "secret"}
    expected = run(*show, SECRET_KEY="secret", PORT="")
    assert expected.returncode == 0, expected.stderr
    assert run(*show, **blank).stdout == expected.stdout


# Modes


def test_plain_gunicorn_is_production(serve: Serve) -> None:
    service = serve(
        "def crash(): raise RuntimeError('boom')\n"
        "app.add_url_rule('/crash', view_func=crash)\n"
        "app.add_url_rule('/mode', 'mode', lambda: [app.debug, app.testing])\n"
    )
    assert service.get("/mode").json == [False, False]
    answer = service.get("/crash")
    assert answer.status == 500
    assert b"Sorry, there is a problem with this service" in answer.body
    assert b"boom" not in answer.body


@pytest.mark.parametrize("command", DEVELOPMENT, ids=" ".join)
def test_development_needs_no_setting_and_has_the_debugger(develop: Develop, command: tuple[str, ...]) -> None:
    assert_debugger(develop(*command).get("/crash"))


@pytest.mark.parametrize("value", ["1", "true"])
def test_flask_debug_is_development(develop: Develop, value: str) -> None:
    assert_debugger(develop(*FLASK, FLASK_DEBUG=value).get("/crash"))


def test_blank_flask_debug_is_unset_for_the_module(develop: Develop) -> None:
    assert_debugger(develop(*MODULE, FLASK_DEBUG="").get("/crash"))


@pytest.mark.parametrize("value", ["0", "off"])
@pytest.mark.parametrize("command", [FLASK, MODULE], ids=" ".join)
def test_switched_off_debug_mode_has_no_debugger(develop: Develop, command: tuple[str, ...], value: str) -> None:
    service = develop(*command, FLASK_DEBUG=value, SECRET_KEY="secret")
    answer = service.get("/crash")
    assert answer.status == 500
    assert b"Sorry, there is a problem with this service" in answer.body
    assert b"boom" not in answer.body
    assert service.get("/console").status == 404


def assert_debugger(answer: Answer) -> None:
    assert answer.status == 500
    assert b"<title>RuntimeError: boom" in answer.body
    assert b"EVALEX = true" in answer.body


@pytest.mark.parametrize("command", DEVELOPMENT, ids=" ".join)
def test_errors_of_development_are_those_of_production(
    develop: Develop, serve: Serve, project: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    development, production = develop(*command, DATABASE_URL=database_of(project, tmp_path)), serve()
    for method, path, status in (
        ("GET", "/unknown", 404),
        ("GET", "/blog/unknown", 404),
        ("GET", "/problems/unknown", 404),
        ("GET", "/api/unknown", 404),
        ("GET", "/api/posts/0", 404),
        ("GET", "/api/posts?limit=0", 400),
        ("DELETE", "/", 405),
        ("DELETE", "/api/posts", 405),
        ("DELETE", "/api/posts/1", 401),
    ):
        answer = seen(development, method, path)
        assert answer[0] == status
        assert answer == seen(production, method, path)


def seen(service: Service, method: str, path: str) -> tuple[int, bytes, dict[str, object]]:
    answer = service.ask(method, path, headers={"X-Request-ID": "same"})
    headers: dict[str, object] = {name: value for name, value in answer.headers.items() if name not in BY_SERVER}
    if "Allow" in headers:
        headers["Allow"] = set(answer.headers["Allow"].split(", "))
    return answer.status, answer.body, headers


BY_SERVER = ("Server", "Date", "Connection")


def test_module_is_one_process(develop: Develop) -> None:
    """So that an external debugger has the requests in the process that it started."""
    pid = develop(*MODULE).process.pid
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
