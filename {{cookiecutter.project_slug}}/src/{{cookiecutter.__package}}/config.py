"""Every setting of the service: its name, type, default and meaning.

A setting has one name everywhere: in the environment, in ``.env``, in the TOML file that SETTINGS_FILE names
(this is also the order in which they win), in :class:`Settings` and in ``app.config``.
"""

import os
import tomllib
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
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
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

ENV_FILE = ".env"

HostName = Annotated[str, StringConstraints(pattern=r"^[\w.:\[\]-]+$")]


def _split(value: object) -> object:
    """``"a, b"`` of an environment variable as ``["a", "b"]``."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Settings(BaseModel):
    """What the service runs with. Made by :func:`load` from outside, or by a test from values."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    FLASK_DEBUG: bool = Field(default=False, description="1 for development; everything else is production")
    SECRET_KEY: str = Field(
        default="", repr=False, validate_default=True, description="signs sessions; long, random, secret"
    )
    SETTINGS_FILE: str | None = Field(default=None, description="path of a TOML file with more settings")

    HOST: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 in a container")
    PORT: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on")
    WEB_CONCURRENCY: int = Field(default=2, ge=1, le=256, description="number of gunicorn worker processes")

    TRUSTED_HOSTS: Annotated[list[HostName] | None, NoDecode, BeforeValidator(_split)] = Field(
        default=None,
        min_length=1,
        description="host names to answer to, separated by commas, such as example.org, .example.org",
    )
    PROXY_HOPS: int = Field(
        default=0, ge=0, le=10, description="number of reverse proxies in front whose X-Forwarded-* to trust"
    )
    MAX_CONTENT_LENGTH: int = Field(default=1024 * 1024, ge=1, description="largest request body, in bytes")
    NOT_FOUND_CACHE_CONTROL: str = Field(
        default="no-store", pattern=r"^[ -~]+$", description="Cache-Control of 404 answers"
    )

    LOG_LEVEL: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = Field(
        default="INFO", description="least level logged"
    )
    LOG_FORMAT: Literal["json", "text"] | None = Field(
        default=None, description="json lines or text; left out, text in development and json in production"
    )

    SENTRY_DSN: str = Field(default="", repr=False, description="where Sentry listens; blank is off")
    SENTRY_ENVIRONMENT: str = Field(default="production", description="name of this deployment, as Sentry shows it")
    SENTRY_TRACES_SAMPLE_RATE: float = Field(
        default=0.0, ge=0, le=1, description="share of requests traced, from 0 to 1"
    )

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


class _Environment(Settings, BaseSettings):
    """:class:`Settings` as the environment and ``.env`` have them, over the values given. A blank one is not set."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_file=ENV_FILE, env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, dotenv_settings, init_settings


def load() -> Settings:
    """Read the settings from the environment, ``.env`` and SETTINGS_FILE.

    :raises SystemExit: with one line for each problem, saying what it is and what to do.
    """
    try:
        dotenv = dotenv_values(ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{ENV_FILE}: cannot be read as UTF-8: {error}") from None
    values = _settings_file(os.environ.get("SETTINGS_FILE") or dotenv.get("SETTINGS_FILE"))
    problems = [f"{name}: not a setting; config.py has their names" for name in values.keys() - Settings.model_fields]
    try:
        settings = _Environment(**{name: values[name] for name in values.keys() & Settings.model_fields})
    except ValidationError as error:
        problems += map(_line, error.errors())
    if problems:
        raise SystemExit("\n".join(sorted(problems)))
    return settings


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
