"""The transformer's protocols: OpenAI, KServe v1 and v2 bodies in, the twin's answer out in the same form."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from llm_twin.documents import Answer
from llm_twin.serving.answering import Asked, Origin
from llm_twin.serving.chat_models import MAX_CHARACTERS, Body, ChatRequest, Sampling, as_list, validate
from llm_twin.serving.http import HttpError
from llm_twin.serving.twins import Twin

SAMPLED = (
    "temperature", "top_p", "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed",
)  # fmt: skip
QUESTION_INPUTS = ("question", "text_input", "prompt", "input-0")


def _as_texts(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and any(isinstance(text, str) and not text.strip() for text in texts):
        raise ValueError("a text is empty")
    if isinstance(texts, list) and any(isinstance(text, str) and len(text) > MAX_CHARACTERS for text in texts):
        raise ValueError(f"a text has more than {MAX_CHARACTERS:,} characters")
    return texts


class TwinOptions(Body):
    """What a client may ask of the twin beside the protocol's own fields."""

    variant: str = Field(default="", max_length=100)
    top_k: int | None = Field(default=None, ge=1, le=50)


class AskInstance(Body):
    """One instance of KServe v1: `{"question": …}`; KServe v2 and generate give the rest as parameters."""

    question: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    top_k: int | None = Field(default=None, ge=1, le=50)
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10, allow_inf_nan=False)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, allow_inf_nan=False)
    stop: Annotated[list[str], BeforeValidator(as_list), Field(max_length=8)] = []
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    variant: str = Field(default="", max_length=100)

    @model_validator(mode="after")
    def _some_text(self) -> AskInstance:
        if not self.question.strip():
            raise ValueError("question is empty")
        return self


class V1Request(Body):
    """POST /v1/models/NAME:predict."""

    instances: list[AskInstance | str] = Field(min_length=1, max_length=64)


class GenerateRequest(Body):
    """POST /v2/models/NAME/generate and generate_stream (KServe's generate extension)."""

    text_input: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
    id: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] | None = None


class RagRequest(Body):
    """POST /openai/v1/rag: a question, and how many sources."""

    query: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    model: str = Field(default="", max_length=200)
    k: int | None = Field(default=None, ge=1, le=50)
    answer: bool = True  # false: only the sources


class EmbeddingsRequest(Body):
    """POST /openai/v1/embeddings."""

    input: Annotated[list[str], BeforeValidator(_as_texts), Field(min_length=1, max_length=256)]
    model: str = Field(default="", max_length=200)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


class Tensor(Body):
    """One input tensor of KServe v2; only BYTES in JSON."""

    name: str = Field(max_length=200)
    shape: list[int] = Field(min_length=1, max_length=2)
    datatype: str
    data: list[Any] = Field(min_length=1, max_length=64)


class V2Request(Body):
    """POST /v2/models/NAME/infer."""

    id: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] = {}
    inputs: list[Tensor] = Field(min_length=1, max_length=8)


def asked_from_chat(request: ChatRequest, options: TwinOptions, origin: Origin) -> Asked:
    """The last message of the user is the question; what came before is the history."""
    turns = [{"role": m.role, "content": m.content} for m in request.messages if m.role in ("user", "assistant")]
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    if not turns or not turns[-1]["content"].strip():
        raise HttpError(400, "messages: the last message of the user holds no text", field="messages")
    question = turns.pop()["content"]
    return Asked(question, tuple(turns), options.variant, options.top_k, given_sampling(request), origin)


def asked_from_generate(request: GenerateRequest, origin: Origin) -> Asked:
    """KServe's generate: the text is the question; sampling by the usual names in `parameters`."""
    known = {k: v for k, v in (request.parameters or {}).items() if k in AskInstance.model_fields}
    return asked_from_instance(validate({**known, "question": request.text_input}, AskInstance), origin)


def given_sampling(request: Sampling) -> dict[str, Any]:
    """The sampling parameters that the client gave, by the predictor's names."""
    given = {name: getattr(request, name) for name in SAMPLED if getattr(request, name) is not None}
    if request.token_limit is not None:
        given["max_tokens"] = request.token_limit
    if request.stop:
        given["stop"] = request.stop
    if request.n > 1:
        given["n"] = request.n
    return given


def asked_from_instance(instance: AskInstance | str, origin: Origin, field: str = "instances") -> Asked:
    """One v1 instance, or one string of a v2 tensor."""
    if isinstance(instance, str):
        instance = validate({"question": instance}, AskInstance)
    names = ("max_tokens", *SAMPLED)  # top_k is how many passages, here as in the other protocols
    sampling = {name: getattr(instance, name) for name in names if name != "top_k"}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    if instance.stop:
        sampling["stop"] = instance.stop
    return Asked(instance.question, (), instance.variant, instance.top_k, sampling, origin)


def asked_from_v2(request: V2Request, origin: Origin) -> list[Asked]:
    """One question for each element of the BYTES tensor `question`."""
    tensor = next((t for t in request.inputs if t.name in QUESTION_INPUTS), None)
    if tensor is None:
        names = ", ".join(QUESTION_INPUTS)
        raise HttpError(400, f"inputs: expected a tensor named one of {names}", field="inputs")
    if tensor.datatype != "BYTES":
        raise HttpError(400, f"inputs.{tensor.name}.datatype: expected BYTES", field="inputs.datatype")
    size = 1
    for extent in tensor.shape:
        size *= extent
    flat = [e for item in tensor.data for e in (item if isinstance(item, list) else [item])]
    if size != len(flat):
        message = f"inputs.{tensor.name}.shape: {tensor.shape} does not fit {len(flat)} elements"
        raise HttpError(400, message, field="inputs.shape")
    known = {name: request.parameters[name] for name in AskInstance.model_fields if name in request.parameters}
    instances = [validate({**known, "question": text}, AskInstance) for text in flat]
    return [asked_from_instance(instance, origin) for instance in instances]


def twin_field(answer: Answer, twin: Twin) -> dict[str, Any]:
    """What every protocol's answer says beside its text: status, sentences, sources, and that it is a
    twin."""
    return {
        "status": answer.status,
        "disclosure": twin.disclosure,
        "author": answer.author,
        "model": answer.model,
        "release": twin.release,
        "index": twin.index,
        "prompts": twin.prompts_in_use,
        "trace_id": answer.trace_id,
        "sentences": [sentence.model_dump() for sentence in answer.sentences],
        "sources": [source.model_dump() for source in answer.sources],
        "seconds": answer.seconds,
    }


def chat_completion(
    answers: list[Answer], finishes: list[str], usage: dict[str, int], model: str, twin: Twin
) -> dict[str, Any]:
    """An OpenAI chat completion; the first answer's sources are in the field `twin`, each choice has its
    own."""
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": answer.text},
            "logprobs": None,
            "finish_reason": finish,
            **({"twin": twin_field(answer, twin)} if len(answers) > 1 else {}),
        }
        for i, (answer, finish) in enumerate(zip(answers, finishes, strict=True))
    ]
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage,
        "twin": twin_field(answers[0], twin),
    }


def v1_prediction(answer: Answer, twin: Twin) -> dict[str, Any]:
    """One prediction of KServe v1."""
    return {"answer": answer.text, **twin_field(answer, twin)}


def new_id(kind: str) -> str:
    """A fresh id such as chatcmpl-…"""
    return f"{kind}-{uuid.uuid4().hex[:24]}"


def count_tokens(text: str) -> int:
    """Tokens of a text, counted roughly, where no predictor counted them."""
    return max(1, len(text) // 4) if text else 0


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's usage."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
