"""Request and response schemas, and the problem types of invalid requests."""

from datetime import datetime
from typing import TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import errors, posts

Model = TypeVar("Model", bound=BaseModel)


class InvalidBody(errors.InvalidBody):
    type = "/problems/invalid-body"
    title = "Invalid body"
    documentation = "Each member of errors has a detail and a pointer (RFC 6901) to the invalid value in the JSON body."


class InvalidQuery(errors.InvalidAPIUsage):
    code = 400
    type = "/problems/invalid-query"
    title = "Invalid query"
    description = "The query is invalid; see errors."
    documentation = "Each member of errors has a detail and the name of the invalid query parameter."


class PostOutput(BaseModel):
    """A post."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    slug: str
    title: str
    body: str = Field(description="Markdown")
    published: datetime


class PostList(BaseModel):
    """A page of posts."""

    posts: list[PostOutput]


class PostsQuery(BaseModel):
    """Query parameters of ``GET /api/posts``."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100)
    before: int | None = Field(default=None, ge=1, le=posts.MAX_ID)


class Problem(BaseModel):
    """A problem detail (RFC 9457). A problem type can add members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="problem type; a URL below /problems/ is the page that documents it")
    title: str
    status: int
    detail: str = Field(default="", description="what happened and how to fix it")
    errors: list[dict[str, str]] = Field(default=[], description="invalid values of the body or the query")
    request_id: str = Field(description="ID of the request, for support")


def read_body(model: type[Model]) -> Model:
    """Parse and validate the JSON body of the current request. Raise 400 or 415 if it is not JSON, or InvalidBody."""
    try:
        return model.model_validate(request.get_json())
    except ValidationError as error:
        raise InvalidBody([(item["loc"], item["msg"]) for item in error.errors()]) from None


def read_query(model: type[Model]) -> Model:
    """Parse and validate the query of the current request. Raise InvalidQuery if it does not match the model."""
    try:
        return model.model_validate({name: each[0] if len(each) == 1 else each for name, each in request.args.lists()})
    except ValidationError as error:
        members = [{"detail": item["msg"], "parameter": ".".join(map(str, item["loc"]))} for item in error.errors()]
        raise InvalidQuery(payload={"errors": members}) from None
