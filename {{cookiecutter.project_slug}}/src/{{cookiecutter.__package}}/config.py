"""Every setting of the service: its name, type, default and meaning.

A setting has one name everywhere: in the environment, in ``.env``, in the TOML file that SETTINGS_FILE names
(this is also the order in which they win), in :class:`Settings` and in ``app.config``.
"""

import os
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from limits import parse_many
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

ENV_FILE = ".env"

HostName = Annotated[str, StringConstraints(pattern=r"^[\w.:\[\]-]+$")]
MailAddress = Annotated[str, StringConstraints(pattern=r"^[!-?A-~]+@[\w.-]+$")]


def _split(value: object) -> object:
    """``"a, b"`` of an environment variable as ``["a", "b"]``."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _valid_port(value: str) -> str:
    """
    :raises ValueError: there is no such port.
    """
    urlsplit(value).port  # noqa: B018
    return value


def _database_url(value: str) -> str:
    """With the driver that is installed; platforms hand out ``postgres://`` too."""
    try:
        url = make_url(value)
    except ArgumentError:
        raise PydanticCustomError("url", "not a database URL") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite") and url.database not in (None, "", ":memory:"):
        return value
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    raise PydanticCustomError("url", "neither SQLite in a file nor PostgreSQL")


MailURL = Annotated[
    str,
    StringConstraints(pattern=r"^smtps?://([^:/@\s]+:[^:/@\s]+@)?[\w.-]+(:\d+)?$"),
    AfterValidator(_valid_port),
]
UpstreamURL = Annotated[
    str, StringConstraints(pattern=r"^https?://[\w.\[\]:-]+(/[^?#\s]*)?$"), AfterValidator(_valid_port)
]
Seconds = Annotated[int, Field(ge=1, le=3600)]
RateLimit = Annotated[str, AfterValidator(lambda value: parse_many(value) and value)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


class Settings(BaseModel):
    """What the service runs with. Made by :func:`load` from outside, or by a test from values."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    FLASK_DEBUG: bool = False
    """1 for development; everything else is production"""
    EXTERNAL_DEBUGGER: bool = False
    """1 leaves crashes of development to a debugger such as PyCharm's: no reloader, no debugger in the browser"""
    SECRET_KEY: str = Field(default="", repr=False, validate_default=True)
    """signs sessions; long, random, secret"""
    SETTINGS_FILE: str | None = None
    """path of a TOML file with more settings"""

    HOST: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 in a container"""
    PORT: int = Field(default=8000, ge=1, le=65535)
    """TCP port to listen on"""
    WEB_CONCURRENCY: int = Field(default=2, ge=1, le=256)
    """number of gunicorn worker processes"""

    TRUSTED_HOSTS: Annotated[list[HostName] | None, BeforeValidator(_split)] = Field(default=None, min_length=1)
    """host names to answer to, separated by commas, such as example.org, .example.org"""
    PROXY_HOPS: int = Field(default=0, ge=0, le=10)
    """number of reverse proxies in front whose X-Forwarded-* to trust"""
    MAX_CONTENT_LENGTH: int = Field(default=1024 * 1024, ge=1)
    """largest request body, in bytes"""
    NOT_FOUND_CACHE_CONTROL: str = Field(default="no-store", pattern=r"^[ -~]+$")
    """Cache-Control of 404 answers"""

    REQUEST_DEADLINE: Seconds = 25
    """how long a request may wait for the database and for other systems, in seconds after it came in"""
    UPSTREAM_URL: UpstreamURL | None = None
    """URL, such as https://example.org/api, of the other system that is asked; left out, none"""
    UPSTREAM_TIMEOUT: Seconds = 10
    """how long a call of it may take, retries included, in seconds"""

    DATABASE_URL: Annotated[str, AfterValidator(_database_url)] = Field(default="sqlite:///service.db", repr=False)
    """sqlite:///NAME.db in the folder instance, or postgresql://USER:PASSWORD@HOST/NAME"""
    DATABASE_POOL_SIZE: int = Field(default=5, ge=1, le=100)
    """connections of each worker process, at most; it has 4 threads"""
    DATABASE_POOL_TIMEOUT: Seconds = 5
    """how long to wait for one of them, in seconds"""
    DATABASE_CONNECT_TIMEOUT: Seconds = 5
    """how long connecting to PostgreSQL may take, in seconds"""
    DATABASE_STATEMENT_TIMEOUT: Seconds = 10
    """how long a statement of PostgreSQL may take in a request, in seconds"""
    DATABASE_LOCK_TIMEOUT: Seconds = 5
    """how long to wait for a lock, in seconds"""

    RATELIMIT_WRITES: RateLimit = "60/minute"
    """what one address may change through the API, such as 60/minute"""
    RATELIMIT_READS: RateLimit | None = None
    """what one address may read through the API; left out, any amount"""
    RATELIMIT_STORAGE_URI: Annotated[str, AfterValidator(_valid_port)] = Field(
        default="memory://", pattern=r"^(memory://|rediss?://.+)$", repr=False
    )
    """where requests are counted: memory:// for each process alone, redis://HOST:6379 for all"""

    LOG_LEVEL: LogLevel = "INFO"
    """least level logged"""
    LOG_FORMAT: Literal["json", "text"] | None = None
    """json lines or text; left out, text in development and json in production"""

    SENTRY_DSN: str = Field(default="", repr=False)
    """where Sentry listens; blank is off"""
    SENTRY_ENVIRONMENT: str = "production"
    """name of this deployment, as Sentry shows it"""
    SENTRY_TRACES_SAMPLE_RATE: float = Field(default=0.0, ge=0, le=1)
    """share of requests traced, from 0 to 1"""

    MAIL_ADMINS: Annotated[list[MailAddress] | None, BeforeValidator(_split)] = Field(default=None, min_length=1)
    """addresses that errors are mailed to, separated by commas; left out, none"""
    MAIL_SENDER: MailAddress | None = None
    """address that they come from; left out, the first of MAIL_ADMINS"""
    MAIL_URL: MailURL = Field(default="smtp://localhost", repr=False)
    """smtp://HOST, smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://USER:PASSWORD@HOST (TLS)"""

    @field_validator("SECRET_KEY")
    @classmethod
    def _required_in_production(cls, value: str, info: ValidationInfo) -> str:
        if value:
            return value
        if info.data.get("FLASK_DEBUG"):
            return "development"
        raise PydanticCustomError(
            "missing",
            "missing; put into .env what this prints: python3 -c 'import secrets; print(secrets.token_hex())'",
        )


def load() -> Settings:
    """Read the settings from the environment, ``.env`` and SETTINGS_FILE. A blank variable is one that is not set.

    :raises SystemExit: with one line for each problem, saying what it is and what to do.
    """
    try:
        dotenv = dotenv_values(ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{ENV_FILE}: cannot be read as UTF-8: {error}") from None
    variables = {**_set(dotenv), **_set(os.environ)}
    file = _settings_file(variables.get("SETTINGS_FILE"))
    problems = [f"{name}: not a setting; config.py has their names" for name in file.keys() - Settings.model_fields]
    values = {**file, **variables}
    try:
        settings = Settings.model_validate({name: values[name] for name in values.keys() & Settings.model_fields})
    except ValidationError as error:
        problems += map(_line, error.errors())
    if problems:
        raise SystemExit("\n".join(sorted(problems)))
    return settings


def _set(variables: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value and not value.isspace()}


def _settings_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise SystemExit(f"SETTINGS_FILE: {path} cannot be read as TOML: {error}") from None


def _line(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0])
    field = Settings.model_fields[name]
    given = f" {problem['input']!r}" if field.repr else ""
    return f"{name}{given}: {problem['msg'][0].lower()}{problem['msg'][1:]} ({field.description})"
