"""Refuse answers that cannot become a package: print one sentence and leave nothing behind.

cookiecutter creates the project folder before it runs this hook. A slug that is not a safe folder name, such as ``..``,
has then been replaced in cookiecutter.json (``__refused``); the original slug is checked here (``__project_slug``).
"""

import json
import keyword
import re
import sys
import unicodedata

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

SLUG = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
FOLDERS = {"migrations", "src", "tests"}
OTHER_PYTHONS = """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3 mailcap
    msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib test uu xdrlib
"""
LIBRARIES = """
    alembic annotated_types anyio asgiref ast_serialize async_timeout blinker certifi click colorama deprecated dotenv
    execnet flask flask_alembic flask_sqlalchemy_lite greenlet grimp gunicorn h11 hatchling httpcore httpx idna
    import_linter importlinter iniconfig itsdangerous jinja2 librt limits mako markdown_it markdown_it_py markupsafe
    mdurl mypy mypy_extensions mypyc packaging pathspec pip pluggy psycopg psycopg_binary py pydantic pydantic_core
    pygments pytest pytest_flask pytest_randomly pytest_xdist python_dotenv python_json_logger pythonjsonlogger redis
    rich ruff sentry_sdk setuptools sqlalchemy stamina tenacity typing_extensions typing_inspection tzdata urllib3 uv
    werkzeug wheel wrapt xdist
"""
TEST_MODULES = """
    conftest core databases test_api test_blog test_config test_database test_errors test_export test_health
    test_home test_logging test_middleware test_preview test_requests test_sentry test_translations
"""
WINDOWS = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")


def slug_problem(slug):
    package = slug.replace("-", "_")
    if not SLUG.fullmatch(slug):
        return "is not made of lower-case ASCII words, each joined to the next by one - or _, starting with a letter"
    if len(slug) > 50:
        return "is longer than 50 characters"
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        return "is a keyword of Python"
    if package in sys.stdlib_module_names or package in OTHER_PYTHONS.split():
        return "is the name of a module of Python's standard library"
    if package in LIBRARIES.split():
        return "is the name of a library that the service is made or tested with"
    if package in TEST_MODULES.split():
        return "is the name of a module of the tests"
    if package in FOLDERS:
        return "is the name of a folder of the project"
    if WINDOWS.fullmatch(package):
        return "is a name that Windows reserves"
    return None


def text_problem(text):
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        return "is more than one line of plain text"
    return None


def name_problem(text):
    return text_problem(text) if text.strip() else "is blank"


def email_problem(text):
    return None if EMAIL.fullmatch(text) else "is not an e-mail address"


QUESTIONS = (
    ("project_name", "project_name", name_problem, "My Service"),
    ("project_slug", "__project_slug", slug_problem, "my-service"),
    ("description", "description", text_problem, "A Flask service."),
    ("author_name", "author_name", name_problem, "Your Name"),
    ("author_email", "author_email", email_problem, "you@example.com"),
)


def main():
    for question, key, problem_of, example in QUESTIONS:
        problem = problem_of(ANSWERS[key])
        if problem:
            answer = json.dumps(ANSWERS[key], ensure_ascii=False)
            sys.exit(f"{question} {answer} {problem}: choose another, such as {example}")


if __name__ == "__main__":
    main()
