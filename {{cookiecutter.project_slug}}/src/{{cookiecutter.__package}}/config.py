"""The settings of the service. Add your own as fields of :class:`Settings`, which become keys of ``app.config``."""

import os
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import limits
from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from .core.database import database_url


def _split(value: object) -> object:
    """Split the value of an environment variable at commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _check_secret_key(value: str, info: ValidationInfo) -> str:
    if value or info.data.get("FLASK_DEBUG"):
        return value or "development"
    raise ValueError("missing; put into .env what this prints: python3 -c 'import secrets; print(secrets.token_hex())'")


def _check_port(url: str) -> str:
    urlsplit(url).port  # noqa: B018 - raises ValueError if the port is not a number from 0 to 65535
    return url


def _check_redis(url: str) -> str:
    if url != "memory://" and not find_spec("redis"):
        raise ValueError("the package redis is missing; run: uv sync --extra redis")
    return _check_port(url)


def _check_rate_limit(value: str) -> str:
    limits.parse_many(value)
    return value


ValidPort = AfterValidator(_check_port)
HostName = Annotated[str, Field(pattern=r"^[\w.:\[\]-]+$")]
MailAddress = Annotated[str, Field(pattern=r"^[!-?A-~]+@[\w.-]+$")]
MailURL = Annotated[str, Field(pattern=r"^smtps?://([^:/@\s]+:[^:/@\s]+@)?[\w.-]+(:\d+)?$"), ValidPort]
HTTPURL = Annotated[str, Field(pattern=r"^https?://[\w.\[\]:-]+(/[^?#\s]*)?$"), ValidPort]
SentryDSN = Annotated[str, Field(pattern=r"^(https?://[^/@\s]+@[\w.-]+(:\d+)?(/[\w-]+)*/\d+)?$"), ValidPort]
RateLimitURL = Annotated[str, Field(pattern=r"^(memory://|rediss?://.+)$"), AfterValidator(_check_redis)]


class Settings(BaseModel):
    """The settings, read by :func:`load` or created by a test."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    FLASK_DEBUG: bool = False
    """1 for development; otherwise the service runs in production mode"""
    SECRET_KEY: Annotated[str, AfterValidator(_check_secret_key)] = Field(default="", repr=False, validate_default=True)
    """signs sessions; a long random string"""
    SETTINGS_FILE: str | None = None
    """path of a TOML file with more settings"""

    HOST: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 in a container"""
    PORT: int = Field(default=8000, ge=1, le=65535)
    """TCP port to listen on"""
    WEB_CONCURRENCY: int = Field(default=2, ge=1, le=256)
    """number of Gunicorn worker processes, each with 4 threads"""

    TRUSTED_HOSTS: Annotated[list[HostName] | None, BeforeValidator(_split)] = Field(default=None, min_length=1)
    """host names of the service, separated by commas, such as example.org, .example.org"""
    PROXY_HOPS: int = Field(default=0, ge=0, le=10)
    """number of reverse proxies whose X-Forwarded-* headers are trusted"""
    APPLICATION_ROOT: str = Field(default="/", pattern=r"^/([\w.-]+(/[\w.-]+)*)?$")
    """path below which the service is reachable, such as /library"""
    MAX_CONTENT_LENGTH: int = Field(default=1024 * 1024, ge=1)
    """maximum length of a request body, in bytes"""

    DATABASE_URL: Annotated[str, AfterValidator(database_url)] = Field(default="sqlite:///service.db", repr=False)
    """sqlite:///NAME.db in the folder instance, or postgresql://USER:PASSWORD@HOST/NAME"""
    COMMENTS_URL: HTTPURL | None = None
    """URL of the example's comments service, such as https://example.org/api"""
    RATELIMIT_WRITES: Annotated[str, AfterValidator(_check_rate_limit)] = "60/minute"
    """rate limit of writes to the API for each address, such as 60/minute"""
    RATELIMIT_STORAGE_URI: RateLimitURL = Field(default="memory://", repr=False)
    """where requests are counted: memory:// for each process, redis://HOST:6379 for all processes"""

    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """lowest level that is logged"""
    SENTRY_DSN: SentryDSN = Field(default="", repr=False)
    """DSN of the project in Sentry; blank for none"""
    MAIL_ADMINS: Annotated[list[MailAddress] | None, BeforeValidator(_split)] = Field(default=None, min_length=1)
    """addresses that errors are mailed to, separated by commas; the first is the sender"""
    MAIL_URL: MailURL = Field(default="smtp://localhost", repr=False)
    """smtp://HOST, smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://USER:PASSWORD@HOST (TLS)"""


def load() -> Settings:
    """Read the settings from the environment, ``.env`` and the TOML file SETTINGS_FILE, in this order of precedence.

    A blank variable counts as not set. Flask and its extensions read ``.env`` too, because it becomes the environment.

    :raises SystemExit: with one line for each invalid setting, which says what to do.
    """
    try:
        variables = dotenv_values(".env")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f".env: cannot be read as UTF-8: {error}") from None
    for name, value in variables.items():
        if value and not os.environ.get(name, "").strip():
            os.environ[name] = value
    environment = {name: os.environ[name] for name in Settings.model_fields if os.environ.get(name, "").strip()}
    path = environment.get("SETTINGS_FILE")
    try:
        file = tomllib.loads(Path(path).read_text("utf-8")) if path else {}
        return Settings.model_validate(file | environment)
    except ValidationError as error:
        raise SystemExit("\n".join(sorted(map(_to_line, error.errors())))) from None
    except (OSError, ValueError) as error:
        raise SystemExit(f"SETTINGS_FILE: {path} cannot be read as TOML: {error}") from None


def _to_line(problem: ErrorDetails) -> str:
    """Return an error as one line, without the value of a secret setting."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # of a validator of the whole model
        return message
    name = str(problem["loc"][0])
    if name not in Settings.model_fields:
        return f"{name}: unknown setting; see config.py"
    field = Settings.model_fields[name]
    value = f" {problem['input']!r}" if field.repr else ""
    return f"{name}{value}: {message[0].lower()}{message[1:]} ({field.description})"
