"""Bearer tokens (RFC 6750) for requests that write, and the commands ``flask tokens``."""

import secrets
from datetime import UTC, datetime
from hashlib import sha256

import click
from flask import request
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from .. import errors
from ..core.database import DatabaseGroup, Model, UTCDateTime, db, transaction
from ..core.requests import SAFE_METHODS

cli = DatabaseGroup("tokens", help="Create, list and revoke API tokens.")


class Token(Model):
    """A token. Only its hash is stored."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(UTCDateTime)


class TokenRequired(errors.InvalidAPIUsage):
    code = 401
    type = "/problems/token-required"
    title = "Token required"
    description = "Send a token in the Authorization header: Bearer TOKEN."
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class InvalidToken(errors.InvalidAPIUsage):
    code = 401
    type = "/problems/invalid-token"
    title = "Invalid token"
    description = "The token is invalid or has been revoked."
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012


def require_token() -> None:
    """Raise 401 for a write without a valid token. For ``before_request`` of a blueprint."""
    if request.method in SAFE_METHODS:
        return
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer" or not authorization.token:
        raise TokenRequired
    with db.sessionmaker() as session:  # a transaction of db.session would switch off the retry of @transaction
        if session.scalar(select(Token).filter_by(hash=_hash(authorization.token))) is None:
            raise InvalidToken


def _hash(token: str) -> str:
    """Return the SHA-256 hash. A slow hash is not needed, because a token has 32 random bytes."""
    return sha256(token.encode(errors="replace")).hexdigest()


@cli.command("create")
@click.argument("name")
def _create(name: str) -> None:
    """Create a token for NAME and print it. It cannot be shown again."""
    token = secrets.token_urlsafe(32)
    db.session.add(Token(name=name, hash=_hash(token), created=datetime.now(UTC)))
    try:
        db.session.commit()
    except IntegrityError:
        raise click.ClickException(f"There is a token for {name}. Revoke it first, or choose a name.") from None
    click.echo(token)


@cli.command("list")
def _list() -> None:
    """List the tokens: name and date of creation."""
    for token in db.session.scalars(select(Token).order_by(Token.name)):
        click.echo(f"{token.name}\t{token.created:%Y-%m-%d}")


@cli.command("revoke")
@click.argument("name")
@transaction
def _revoke(name: str) -> None:
    """Revoke the token of NAME."""
    token = db.session.scalar(select(Token).filter_by(name=name))
    if token is None:
        raise click.ClickException(f"There is no token for {name}. flask tokens list shows them.")
    db.session.delete(token)
