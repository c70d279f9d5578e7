"""The files of a baked project: names, contents and budgets.

A budget limits what the owner of a project has to read. Lower it when the code gets shorter; never raise it.
"""

import ast
import fnmatch
import io
import itertools
import json
import re
import tokenize
import tomllib
from functools import cached_property
from pathlib import Path

import pytest
import yaml
from baking import PROJECT_FOLDER, files, git, run_cookiecutter, template_files, texts
from conftest import TEMPLATE, Bake, bake_into
from cookiecutter.generate import is_copy_only_path
from packaging.licenses import canonicalize_license_expression

OPTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
COMBINATIONS = [
    {"license": license_name, "ci": ci} for license_name, ci in itertools.product(OPTIONS["license"], OPTIONS["ci"])
]
LICENSE_STARTS = {
    "MIT": r"MIT License\n\nCopyright \(c\) \d{4} Ada Lovelace\n\nPermission is hereby granted, free of charge",
    "BSD-3-Clause": r"BSD 3-Clause License\n\nCopyright \(c\) \d{4}, Ada Lovelace\n\nRedistribution and use",
    "Apache-2.0": r"\n +Apache License\n +Version 2\.0, January 2004\n",
    "Proprietary": r"Copyright \(c\) \d{4} Ada Lovelace\. All rights reserved\.\n\nNo part of this software",
}
CI_FILES = {"GitHub": {".github/workflows/ci.yml"}, "GitLab": {".gitlab-ci.yml"}, "none": set()}

WINDOWS_FORBIDS = re.compile(r'.*[<>:"|?*\\\x00-\x1f].*|.*[. ]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE)
MACHINE_PATH = re.compile(rf"/home/|/root/|/Users/|/tmp/|\b[A-Z]:\\|{re.escape(str(TEMPLATE))}")
DOCUMENTATION_HOSTS = {
    "127.0.0.1",
    "commonmark.org",
    "docs.astral.sh",
    "example.org",
    "flask-alembic.readthedocs.io",
    "flask-sqlalchemy-lite.readthedocs.io",
    "flask.palletsprojects.com",
    "gunicorn.org",
    "limits.readthedocs.io",
    "spec.openapis.org",
    "www.apache.org",
    "www.encode.io",
    "www.postgresql.org",
    "www.python-httpx.org",
    "www.rfc-editor.org",
    "www.sqlite.org",
    "nhairs.github.io",
    "www.w3.org",
}


class Baked:
    """A project and the options that it was baked with."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.options = options
        self.folder = bake_into(folder, author_name="Ada Lovelace", **options)
        self.texts = texts(self.folder)

    def ending_in(self, *suffixes: str) -> dict[str, str]:
        return {path: text for path, text in self.texts.items() if path.endswith(suffixes)}


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda options: "-".join(options.values()))
def baked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Baked:
    return Baked(tmp_path_factory.mktemp("baked"), **request.param)


def project_files() -> list[str]:
    """Return the files of the template that become files of the project, with their unrendered names."""
    return [path.removeprefix(PROJECT_FOLDER) for path in template_files() if path.startswith(PROJECT_FOLDER)]


def rendered(path: str) -> str:
    return path.replace("{{cookiecutter.__package}}", "my_service")


def test_files_are_exactly_those_of_the_template_and_those_chosen(baked: Baked) -> None:
    always = {rendered(path) for path in project_files() if "{%" not in path}
    assert set(baked.texts) == always | {"LICENSE"} | CI_FILES[baked.options["ci"]]


def test_no_folder_is_empty(baked: Baked) -> None:
    assert [path for path in baked.folder.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_license_is_the_chosen_one(baked: Baked) -> None:
    assert re.match(LICENSE_STARTS[baked.options["license"]], baked.texts["LICENSE"])


def test_license_of_the_package_is_the_chosen_one(baked: Baked) -> None:
    expression = tomllib.loads(baked.texts["pyproject.toml"])["project"]["license"]
    assert expression.removeprefix("LicenseRef-") == baked.options["license"]
    assert canonicalize_license_expression(expression) == expression


def test_nothing_is_left_unrendered(baked: Baked) -> None:
    for path, text in baked.texts.items():
        assert "cookiecutter" not in text.lower(), path
        if not (path.startswith("src/") and "/templates/" in path):
            assert "{%" not in text, path


def test_toml_and_yaml_load(baked: Baked) -> None:
    for text in baked.ending_in(".toml").values():
        tomllib.loads(text)
    for text in baked.ending_in(".yml", ".yaml").values():
        assert isinstance(yaml.safe_load(text), dict)


def test_python_compiles(baked: Baked) -> None:
    for path, text in baked.ending_in(".py").items():
        compile(text, path, "exec")


def test_lines_end_in_line_feeds_the_last_one_too(baked: Baked) -> None:
    for path, text in baked.texts.items():
        assert "\r" not in text, path
        assert text == "" or text.endswith("\n"), path


def test_windows_allows_every_name(baked: Baked) -> None:
    assert_windows_allows(list(baked.texts))


def test_no_path_of_a_machine_and_no_other_host_is_named(baked: Baked) -> None:
    for path, text in baked.texts.items():
        assert not MACHINE_PATH.search(text), path
        if not path.startswith("tests/"):
            assert set(re.findall(r"https?://([\w.-]+)", text)) <= DOCUMENTATION_HOSTS, path


def test_windows_allows_every_name_of_the_template() -> None:
    assert_windows_allows(template_files())


def test_template_has_line_feeds_only() -> None:
    assert "* text=auto eol=lf\n" in (TEMPLATE / ".gitattributes").read_text()
    listed = git(TEMPLATE, "ls-files", "--eol").splitlines()
    assert [line for line in listed if "crlf" in line or "mixed" in line] == []


def assert_windows_allows(paths: list[str]) -> None:
    names = {name for path in paths for name in path.split("/")}
    assert [name for name in names if WINDOWS_FORBIDS.fullmatch(name)] == []
    assert len({path.lower() for path in paths}) == len(paths)


@pytest.mark.parametrize("folder", ["src", "migrations"])
def test_source_is_copied_byte_for_byte(bake: Bake, folder: str) -> None:
    """Migrations and their Mako template are rendered, but contain nothing to render."""
    made = files(bake() / folder)
    assert made
    assert made == {rendered(path): content for path, content in files(TEMPLATE / PROJECT_FOLDER / folder).items()}


def test_github_workflow_is_copied_byte_for_byte(bake: Bake) -> None:
    """Its expressions look like Jinja's, so ``raw`` and ``endraw`` enclose it.

    A pattern of ``_copy_without_render`` would not work: cookiecutter then copies the file even if it is not chosen.
    """
    (template,) = files(TEMPLATE / PROJECT_FOLDER / ".github/workflows").values()
    (made,) = files(bake(ci="GitHub") / ".github/workflows").values()
    assert made == template.replace(b"{% raw %}", b"").replace(b"{% endraw %}", b"")


def is_copied(path: str) -> bool:
    return bool(is_copy_only_path(path, {"cookiecutter": OPTIONS}))


def test_every_file_below_src_has_a_pattern() -> None:
    assert [path for path in project_files() if path.startswith("src/") and not is_copied(path)] == []


def test_every_pattern_has_a_file() -> None:
    patterns = OPTIONS["_copy_without_render"]
    assert [pattern for pattern in patterns if not fnmatch.filter(project_files(), pattern)] == []


def test_no_pattern_matches_a_folder() -> None:
    """``cookiecutter -f`` would delete the folder first, with the user's files in it."""
    folders = {parent.as_posix() for path in project_files() for parent in Path(path).parents}
    assert [folder for folder in folders if is_copied(folder)] == []


def test_no_pattern_matches_a_file_with_a_conditional_name() -> None:
    """If it is not chosen, cookiecutter would copy it to the name "" and fail."""
    assert [path for path in project_files() if "{%" in path and is_copied(path)] == []


def test_existing_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "my-service/src").mkdir(parents=True)
    (tmp_path / "my-service/src/own.py").write_text("own\n")
    result = run_cookiecutter(TEMPLATE, "--no-input", folder=tmp_path)
    assert result.returncode != 0
    assert "already exists" in result.stdout
    assert files(tmp_path) == {"my-service/src/own.py": b"own\n"}


@pytest.mark.parametrize("ci", OPTIONS["ci"])
def test_overwriting_restores_the_template_and_keeps_files_of_the_user(tmp_path: Path, bake: Bake, ci: str) -> None:
    made = bake(ci=ci)
    before = files(made)
    own = ["own.py", "src/my_service/own.py", "src/my_service/errors/own.py", ".github/workflows/own.yml"]
    own += ["migrations/0002_own.py"]
    for path in own:
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text("own\n")
    (made / "src/my_service/config.py").write_text("changed\n")

    result = run_cookiecutter(TEMPLATE, "--no-input", "--overwrite-if-exists", f"ci={ci}", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert files(made) == before | dict.fromkeys(own, b"own\n")


MAX_FILES = 110
MAX_LINES = 2600
"""Lines of Python in ``src/``, with blank lines, comments and docstrings."""
MAX_CODE_LINES = 1700
MAX_ERRORS_CODE_LINES = 550
"""Lines of code in ``errors/``, with export and preview."""
MAX_TEST_LINES = 1800
MAX_FUNCTION_LINES = 25
MAX_CREATE_APP_LINES = 45
MAX_TYPE_IGNORES = 8
MAX_SETTINGS = 20
MAX_README = (120, 1200)
"""Lines and words."""
MAX_DEPENDENCIES = 14


class Python:
    """The Python files of a project: path to source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.src = {path: text for path, text in texts(folder / "src/my_service").items() if path.endswith(".py")}
        self.tests = {path: text for path, text in texts(folder / "tests").items() if path.endswith(".py")}

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {path: ast.parse(source) for path, source in self.src.items()}

    def functions(self) -> dict[str, int]:
        """Return the number of lines of each function."""
        return {
            f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
            for path, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def own_private_names(self) -> set[str]:
        """Return the names beginning with ``_`` that the project defines: functions, classes, variables, attributes."""
        names = set()
        for node in (node for tree in self.trees.values() for node in ast.walk(tree)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
        return {name for name in names if is_private(name)}

    def used_private_names(self) -> dict[str, str]:
        """Return the names beginning with ``_`` of attributes and imports, and where they are used."""
        used = {}
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and is_private(node.attr):
                    used[node.attr] = f"{path}:{node.lineno}"
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    words = [*(getattr(node, "module", "") or "").split("."), *(a.name for a in node.names)]
                    used |= {word: f"{path}:{node.lineno}" for word in words if is_private(word)}
        return used


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Python:
    return Python(bake_into(tmp_path_factory.mktemp("default")))


def is_private(name: str) -> bool:
    return name.startswith("_") and name.strip("_") != "" and not (name.startswith("__") and name.endswith("__"))


def code_lines(source: str) -> int:
    """Count the lines that are not blank, comments or docstrings."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_code_lines_are_counted() -> None:
    assert code_lines('"""A\n\ndocstring."""\n\n# why\nx = (\n    1,\n)  # because\n\n"""On x."""\n') == 3


def test_number_of_files(default: Python) -> None:
    assert len(files(default.folder)) <= MAX_FILES


def test_lines_of_source(default: Python) -> None:
    assert sum(source.count("\n") for source in default.src.values()) <= MAX_LINES


def test_lines_of_code(default: Python) -> None:
    assert sum(map(code_lines, default.src.values())) <= MAX_CODE_LINES


def test_lines_of_code_of_the_error_handling(default: Python) -> None:
    sources = [source for path, source in default.src.items() if path.startswith("errors/")]
    assert sources
    assert sum(map(code_lines, sources)) <= MAX_ERRORS_CODE_LINES


def test_lines_of_tests(default: Python) -> None:
    assert sum(source.count("\n") for source in default.tests.values()) <= MAX_TEST_LINES


def test_lines_of_functions(default: Python) -> None:
    lines = default.functions()
    assert lines.pop("__init__.py:create_app") <= MAX_CREATE_APP_LINES
    assert {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES} == {}


def test_private_names_of_other_packages_are_not_used(default: Python) -> None:
    own = default.own_private_names() | {"_typeshed"}  # types of WSGI, for type checkers only
    assert {name: place for name, place in default.used_private_names().items() if name not in own} == {}


def test_type_ignores_are_rare(default: Python) -> None:
    assert sum(source.count("type: ignore") for source in default.src.values()) <= MAX_TYPE_IGNORES


def test_settings_are_few(default: Python) -> None:
    [settings] = re.findall(r"(?s)\nclass Settings.*?\n\n\n", default.src["config.py"])
    assert 10 < len(re.findall(r"(?m)^    [A-Z_]+:", settings)) <= MAX_SETTINGS


def test_readme_is_short(default: Python) -> None:
    readme = (default.folder / "README.md").read_text()
    lines, words = MAX_README
    assert readme.count("\n") <= lines
    assert len(readme.split()) <= words


def test_direct_dependencies_are_few(default: Python) -> None:
    project = tomllib.loads((default.folder / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= MAX_DEPENDENCIES
