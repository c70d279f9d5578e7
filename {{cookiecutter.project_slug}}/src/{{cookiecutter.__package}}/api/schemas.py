"""What the API takes and gives, and how a request becomes one of these."""

from datetime import datetime
from typing import Annotated, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from .. import posts
from .problems import InvalidBody, InvalidQuery

Model = TypeVar("Model", bound=BaseModel)


class Post(BaseModel):
    """A post, as the API shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    slug: str
    title: str
    body: str = Field(description="Markdown")
    published: datetime


class PostList(BaseModel):
    """One page of posts."""

    model_config = ConfigDict(from_attributes=True)

    posts: list[Post]


class Comment(BaseModel):
    """A comment on a post, as another system keeps it."""

    author: str
    body: str
    published: datetime


class CommentList(BaseModel):
    """The comments on a post."""

    comments: list[Comment]


class PostsQuery(BaseModel):
    """The query of ``GET /api/posts``."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100, description="how many posts, at most")
    cursor: Annotated[str, StringConstraints(pattern=posts.CURSOR)] | None = Field(
        default=None, description="where the page starts, as the Link header of the page before says"
    )


class Problem(BaseModel):
    """A problem detail (RFC 9457). A type may have more members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="the type; below /problems/ it has a page that explains it")
    title: str
    status: int
    detail: str = Field(default="", description="what happened and what to do")
    errors: list[dict[str, str]] = Field(default=[], description="what is wrong, and where in body or query")
    reference: str = Field(description="to be given when asking for help")


def read_body(model: type[Model]) -> Model:
    """The JSON body of the current request.

    :raises BadRequest: 400, the body is not JSON.
    :raises UnsupportedMediaType: 415, it does not say that it is JSON.
    :raises InvalidBody: 422, it is JSON, but not what the model describes.
    """
    try:
        return model.model_validate(request.get_json())
    except ValidationError as error:
        raise InvalidBody([(problem["loc"], problem["msg"]) for problem in error.errors()]) from None


def read_query(model: type[Model]) -> Model:
    """The query of the current request.

    :raises InvalidQuery: 400, it is not what the model describes.
    """
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        members = [{"detail": problem["msg"], "parameter": problem["loc"][0]} for problem in error.errors()]
        raise InvalidQuery(payload={"errors": members}) from None
