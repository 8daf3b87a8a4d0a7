"""The OpenAI bodies that predictor and transformer accept, validated field by field.

Unknown fields are let through: clients of this protocol send many that a server may not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from llm_twin.serving.http import HttpError, parse_json

MAX_MESSAGES = 256
MAX_CHARACTERS = 200_000


class Body(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _join_parts(content: Any) -> Any:
    """Text parts, as newer clients send content, become one string; other parts are refused by name."""
    if isinstance(content, list):
        texts = []
        for part in content:
            if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
                raise ValueError("only parts of type text are supported")
            texts.append(part["text"])
        return "\n".join(texts)
    return "" if content is None else content


class Message(Body):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_join_parts), Field(max_length=MAX_CHARACTERS)] = ""


def as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else ([] if stop is None else stop)


class StreamOptions(Body):
    """What a stream shall hold beside the text."""

    include_usage: bool = False


class Sampling(Body):
    """How tokens are chosen, and when to stop."""

    model: str = Field(default="", max_length=200)
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=100_000)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=-1, le=100_000)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10, allow_inf_nan=False)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    n: int = Field(default=1, ge=1, le=8)
    stop: Annotated[list[str], BeforeValidator(as_list), Field(max_length=8)] = []
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, max_length=200)

    @property
    def token_limit(self) -> int | None:
        """How many tokens may be written, by either name."""
        return self.max_completion_tokens or self.max_tokens


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)

    @model_validator(mode="after")
    def _some_text(self) -> ChatRequest:
        if not any(message.content.strip() for message in self.messages):
            raise ValueError("messages hold no text")
        return self


class CompletionRequest(Sampling):
    """POST /v1/completions."""

    prompt: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]],
        BeforeValidator(as_list),
        Field(min_length=1, max_length=16),
    ]
    echo: bool = False


def check_single(request: Sampling) -> None:
    """Refuse a stream of several answers: each is checked as a whole. Raises HttpError 400."""
    if request.stream and request.n > 1:
        raise HttpError(400, "n: only one answer can be streamed", code="invalid_value", field="n")


BodyType = TypeVar("BodyType", bound=BaseModel)


def parse_body(body: bytes, model: type[BodyType], status: int = 400) -> BodyType:
    """Validate a JSON body. Raises HttpError that names the first field that does not fit."""
    return validate(parse_json(body), model, status)


def validate(value: Any, model: type[BodyType], status: int = 400) -> BodyType:
    """Validate a JSON value. Raises HttpError that names the first field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Where a value may be of two types, pydantic names the one it tried: "function-after[…]" is no field of ours.
        place = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        message = first["msg"].removeprefix("Value error, ")
        raise HttpError(
            status, f"{place}: {message}" if place else message, code="invalid_value", field=place
        ) from error
    except RecursionError as error:
        raise HttpError(status, "the body is nested too deeply", code="invalid_value") from error
