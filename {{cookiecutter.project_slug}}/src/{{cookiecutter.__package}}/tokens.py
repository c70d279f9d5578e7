"""Bearer tokens (RFC 6750): who may write. ``flask tokens`` makes, lists and revokes them."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import sha256

import click
from flask import Flask, request
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from . import errors
from .database import SAFE_METHODS, Commands, Model, UTCDateTime, db

cli = Commands("tokens", help="Tokens of those who may use the API.")


def init_app(app: Flask) -> None:
    app.cli.add_command(cli)


class Token(Model):
    """What is kept of a token: its secret only as a hash."""

    __tablename__ = "tokens"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    read_only: Mapped[bool]
    created: Mapped[datetime] = mapped_column(UTCDateTime)


class TokenRequired(errors.InvalidAPIUsage):
    """What changes something needs a token, sent as ``Authorization: Bearer TOKEN``. Ask the operator for one."""

    code = 401
    type = "/problems/token-required"
    title = "Token required"
    description = "Send a token in the Authorization header: Bearer TOKEN."
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class InvalidToken(errors.InvalidAPIUsage):
    """The token that was sent is not one of this service, or has been revoked. Ask the operator for another."""

    code = 401
    type = "/problems/invalid-token"
    title = "Invalid token"
    description = "This token is not valid. It may have been revoked."
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012


class ReadOnlyToken(errors.InvalidAPIUsage):
    """The token is valid, but only for reading. Ask the operator for one that may write."""

    code = 403
    type = "/problems/read-only-token"
    title = "Read-only token"
    description = "This token may read, but change nothing."
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}  # noqa: RUF012


def check() -> None:
    """Let nobody change anything without a token that may write: for ``before_request`` of a blueprint.

    :raises TokenRequired: the request has no token.
    :raises InvalidToken: nobody was given this one.
    :raises ReadOnlyToken: it may not write.
    """
    if request.method in SAFE_METHODS:
        return
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer" or not authorization.token:
        raise TokenRequired
    token = find(authorization.token)
    if token is None:
        raise InvalidToken
    if token.read_only:
        raise ReadOnlyToken


def find(text: str) -> Token | None:
    """What is known of a token; None if it is none of ours. The secrets are compared in constant time."""
    token_id, _, secret = text.partition(".")
    if not (token_id.isascii() and token_id.isdigit() and len(token_id) < 10):
        return None
    with db.sessionmaker() as session:
        session.connection(execution_options={"only_reads": True})  # a wrong token waits for no writer
        token = session.get(Token, int(token_id))
    return token if token and hmac.compare_digest(token.hash, _hash(secret)) else None


def issue(name: str, read_only: bool = False) -> str:
    """Store a new token and return it, for the only time.

    :raises IntegrityError: there is one with this name.
    """
    secret = secrets.token_urlsafe(32)
    with db.session.begin():
        token = Token(name=name, hash=_hash(secret), read_only=read_only, created=datetime.now(UTC))
        db.session.add(token)
    return f"{token.id}.{secret}"


def _hash(secret: str) -> str:
    """Of 32 random bytes: there is nothing to guess, so it need not be slow."""
    return sha256(secret.encode(errors="replace")).hexdigest()


@cli.command("create")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It may not write.")
def create(name: str, read_only: bool) -> None:
    """Make a token for NAME and print it. It cannot be shown again."""
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise click.ClickException("Give a name of 1 to 100 printable characters.")
    try:
        click.echo(issue(name, read_only))
    except IntegrityError:  # there is no other constraint that it could break
        raise click.ClickException(f"There is a token for {name}. Revoke it first, or choose a name.") from None


@cli.command("list")
def list_() -> None:
    """List the tokens: name, date, and whether they may write."""
    for token in db.session.scalars(select(Token).order_by(Token.name)):
        click.echo(f"{token.name}\t{token.created:%Y-%m-%d}\t{'read-only' if token.read_only else 'may write'}")


@cli.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token of NAME, from the next request on."""
    with db.session.begin():
        token = db.session.scalar(select(Token).filter_by(name=name))
        if token is None:
            raise click.ClickException(f"There is no token for {name}. flask tokens list shows them.")
        db.session.delete(token)
