"""What the API takes and gives, and how a body becomes one of these."""

from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from .. import errors, posts

Model = TypeVar("Model", bound=BaseModel)


class NewPost(BaseModel):
    """The body of ``POST /api/posts``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    body: Annotated[str, StringConstraints(min_length=1, max_length=50_000)]


class PostOut(BaseModel):
    """A post, as the API shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    slug: str
    title: str
    body: str


def shown(post: posts.Post) -> dict[str, Any]:
    """A post as the members of its JSON."""
    return PostOut.model_validate(post).model_dump()


def read_body(model: type[Model]) -> Model:
    """The JSON body of the current request.

    :raises BadRequest: 400, the body is not JSON.
    :raises UnsupportedMediaType: 415, it does not say that it is JSON.
    :raises InvalidBody: 422, it is JSON, but not what the model describes.
    """
    try:
        return model.model_validate(request.get_json())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise errors.InvalidBody([(problem["loc"], problem["msg"]) for problem in problems]) from None
