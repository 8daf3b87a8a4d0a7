"""From a question to an answer with sources: retrieve, ask the predictor, check, or quote the author instead.

    prepared = await prepare(asked, twin, parts)      # retrieval and prompt; a refusal ends here
    draft    = await parts.predictor.chat(body_for(prepared, …))
    answer   = await conclude(prepared, draft.texts[0], …)

What the model wrote is given out only as far as the author's own text supports it. Otherwise the answer is an
extract of the author's sentences, and says so; and where nothing relevant was found, a refusal, which says
so too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from llm_twin.documents import Answer, AnswerSentence, Chunk, Citation
from llm_twin.prompts import make_fence
from llm_twin.serving.cache import TimedCache
from llm_twin.serving.guardrails import Ground, Guards
from llm_twin.serving.guardrails.memory import Shingles
from llm_twin.serving.guardrails.verdicts import Verdicts
from llm_twin.serving.predictor_client import Draft, PredictorClient, PredictorError
from llm_twin.serving.twins import Twin
from llm_twin.support import check_support, extract_answer, split_sentences
from llm_twin.support.check import Encodes
from llm_twin.tracing import Hop, TracedHit, TraceRecord, new_trace_id

HISTORY_MESSAGES = 6
CHARACTERS_PER_TOKEN = 3.0  # on the safe side for English; a prompt that is still too long is cut and sent again
MAX_CUTS = 3
BEARS = 0.45  # cosine with the question from which on a sentence is needed though it stands beside an order

Status = Literal["generated", "extracted", "refused"]


@dataclass(frozen=True)
class Source:
    """A retrieved chunk with its scores."""

    chunk: Chunk
    score: float
    dense_score: float | None = None
    sparse_score: float | None = None


@dataclass(frozen=True)
class Origin:
    """Where a question came from: its request's id, and what the caller's access key may read."""

    request_id: str = ""
    scope: str = ""
    spend: Callable[[int], None] = lambda tokens: None  # told how many tokens the predictor read and wrote


@dataclass(frozen=True)
class Asked:
    """What a client asks, whatever the protocol."""

    question: str
    history: tuple[dict[str, str], ...] = ()
    variant: str = ""  # of the twin's model, such as base or sft; empty: the twin's own
    top_k: int | None = None
    sampling: dict[str, Any] = field(default_factory=dict)  # OpenAI names, only what was given
    origin: Origin = Origin()


@dataclass
class Parts:
    """What answering works with; `retrieve` and the encoder run in `pool`, off the event loop."""

    predictor: PredictorClient | None
    retrieve: Callable[[Asked, Twin], list[Source]] | None
    encoder: Encodes | None
    pool: Executor
    record: Callable[[TraceRecord], Any] = lambda trace: None
    context_tokens: int = 0  # of the predictor's model; 0: not known
    clock: Callable[[], float] = time.perf_counter
    index: Any = None  # where `retrieve` looks
    still_there: Callable[[str, list[str]], bool] | None = None  # are the author's chunks of these ids in the index?
    answers: dict[str, TimedCache[Any]] = field(default_factory=dict)  # twin → what it answered before
    memories: dict[str, Shingles] = field(default_factory=dict)  # author → what their texts say, word for word
    verdicts: Verdicts = field(default_factory=Verdicts)  # on passages, of all twins
    _guards: dict[str, Guards] = field(default_factory=dict)

    def guards_of(self, twin: Twin) -> Guards | None:
        """The twin's guards; none where answers pass through without retrieval."""
        if self.encoder is None:
            return None
        if twin.name not in self._guards:
            author = twin.author.id
            self._guards[twin.name] = Guards(
                twin.serving.guardrails, lambda: self.memories.get(author), verdicts=self.verdicts
            )
        return self._guards[twin.name]

    def forget_guards(self, name: str) -> None:
        """Make a twin's guards anew with its next question."""
        self._guards.pop(name, None)


@dataclass
class Prepared:
    """A question on its way: what was retrieved, the messages for the predictor, and the time of each hop."""

    asked: Asked
    twin: Twin
    trace_id: str
    begun: float
    started: datetime
    sources: list[Source] = field(default_factory=list)
    messages: list[dict[str, str]] = field(default_factory=list)
    withheld: str = ""  # what was blanked of the sources
    ground: Ground | None = None  # what an answer may rest on, once it was asked for
    refusal: str = ""
    hops: list[Hop] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def chunks(self) -> list[Chunk]:
        """The retrieved chunks, best first."""
        return [source.chunk for source in self.sources]


class timed:
    """Note the time of a block as a hop of the request."""

    def __init__(self, prepared: Prepared, name: str, clock: Callable[[], float]) -> None:
        self.prepared, self.name, self.clock = prepared, name, clock

    def __enter__(self) -> None:
        self.begun = self.clock()

    def __exit__(self, *problem: object) -> None:
        start = max(0.0, self.begun - self.prepared.begun)
        seconds = max(0.0, self.clock() - self.begun)
        self.prepared.hops.append(Hop(name=self.name, start_seconds=start, seconds=seconds))


def begin(asked: Asked, twin: Twin, parts: Parts) -> Prepared:
    """A question that sets out now."""
    return Prepared(asked, twin, new_trace_id(), parts.clock(), datetime.now(UTC))


async def prepare(asked: Asked, twin: Twin, parts: Parts) -> Prepared:
    """Retrieve and write the prompt; `refusal` is set when nothing relevant was found."""
    prepared = begin(asked, twin, parts)
    loop = asyncio.get_running_loop()
    guards = parts.guards_of(twin)
    if guards is not None:
        with timed(prepared, "guard_input", parts.clock):
            verdict = await loop.run_in_executor(parts.pool, guards.check_input, asked.question, twin.author.name)
        prepared.asked = asked = replace(asked, question=verdict.text)
        if verdict.refusal:
            prepared.refusal = verdict.refusal
            prepared.notes.append(f"guard: {verdict.guard}")
            return prepared
    if parts.retrieve is not None:
        with timed(prepared, "retrieve", parts.clock):
            prepared.sources = await loop.run_in_executor(parts.pool, parts.retrieve, asked, twin)
        if best_relevance(prepared.sources) < twin.serving.min_relevance:
            prepared.refusal = f"{twin.author.name} has not written about this, as far as I can find."
            return prepared
        if guards is not None:
            with timed(prepared, "guard_documents", parts.clock):
                clean = partial(clean_sources, prepared.sources, guards, asked.question, parts.encoder)
                prepared.sources, prepared.withheld = await loop.run_in_executor(parts.pool, clean)
    budget = 0
    if parts.context_tokens:
        room = parts.context_tokens - min(twin.serving.max_new_tokens, parts.context_tokens // 3)
        budget = int(room * CHARACTERS_PER_TOKEN)
    prepared.messages = write_messages(asked, twin, prepared.chunks, budget)
    return prepared


def clean_sources(
    sources: Sequence[Source], guards: Guards, question: str, encoder: Encodes | None
) -> tuple[list[Source], str]:
    """The sources without sentences that give orders to a model, and without those there was no time to judge; and
    those sentences."""
    bears = partial(bear_on, question=question, encoder=encoder) if encoder is not None else None
    cleaned = {chunk.chunk_id: chunk for chunk in guards.clean_chunks([source.chunk for source in sources], bears)}
    kept = [(source.chunk, cleaned[source.chunk.chunk_id]) for source in sources if source.chunk.chunk_id in cleaned]
    withheld = "\n".join(find_withheld(before, after) for before, after in kept if before is not after)
    return [replace(s, chunk=cleaned[s.chunk.chunk_id]) for s in sources if s.chunk.chunk_id in cleaned], withheld


def find_withheld(before: Chunk, after: Chunk) -> str:
    """What was blanked of a chunk: its text with spaces in place of the rest, and its title if that went."""
    text = "".join(a if b == " " else " " for a, b in zip(before.text, after.text, strict=True))
    return text if before.title == after.title else f"{before.title}\n{text}"


def best_relevance(sources: Sequence[Source]) -> float:
    """The nearness of the best source to the question (cosine); -1 without sources."""
    known = [source.dense_score for source in sources if source.dense_score is not None]
    return max(known or [source.score for source in sources], default=-1.0)


def write_messages(asked: Asked, twin: Twin, chunks: Sequence[Chunk], budget: int = 0) -> list[dict[str, str]]:
    """The chat for the predictor, at most some `budget` characters (0: no limit): the last passages go
    first."""
    system = twin.write_prompt("twin_system", author=twin.author.name)
    history = list(asked.history[-HISTORY_MESSAGES:])
    kept = list(chunks)
    while True:
        passages = [{"title": chunk.title or chunk.url, "text": chunk.text} for chunk in kept]
        fence = make_fence(asked.question, [chunk.text for chunk in kept])
        question = twin.write_prompt("twin_question", passages=passages, question=asked.question, fence=fence)
        size = len(system) + len(question) + sum(len(message["content"]) for message in history)
        if not budget or size <= budget or not (kept or history):
            break
        if history:
            history = history[2:]
        else:
            kept.pop()
    return [{"role": "system", "content": system}, *history, {"role": "user", "content": question}]


def body_for(prepared: Prepared) -> dict[str, Any]:
    """The chat completion request for the predictor."""
    serving = prepared.twin.serving
    model = prepared.twin.variants.get(prepared.asked.variant, prepared.twin.model)
    defaults = {"max_tokens": serving.max_new_tokens, "temperature": serving.temperature}
    return {"model": model, "messages": prepared.messages, **defaults, **prepared.asked.sampling}


async def generate(prepared: Prepared, parts: Parts) -> Draft | None:
    """The predictor's answer, or None when it has none; a prompt too long for it is shortened and sent
    again."""
    if parts.predictor is None or prepared.refusal:
        return None
    with timed(prepared, "generate", parts.clock):
        for cut in range(MAX_CUTS + 1):
            try:
                request_id, hedging = prepared.asked.origin.request_id, prepared.twin.serving.hedging
                return await parts.predictor.chat(body_for(prepared), request_id, hedging)
            except PredictorError as error:
                if error.code != "context_length_exceeded" or cut == MAX_CUTS:
                    prepared.notes.append(error.message)
                    return None
                shorten(prepared)
    return None


def shorten(prepared: Prepared) -> None:
    """Write the prompt again at two thirds of its size, for a predictor that found it too long."""
    size = sum(len(message["content"]) for message in prepared.messages)
    prepared.messages = write_messages(prepared.asked, prepared.twin, prepared.chunks, max(1, size * 2 // 3))


async def conclude(prepared: Prepared, text: str | None, parts: Parts) -> Answer:
    """Check what was written (None: nothing was) against the sources, and answer; the request is traced."""
    loop = asyncio.get_running_loop()
    if prepared.refusal:
        status, sentences = "refused", [AnswerSentence(text=prepared.refusal, supported=False)]
    elif parts.encoder is None or parts.retrieve is None:
        status, sentences = ("generated" if text else "refused"), []
    else:
        with timed(prepared, "check", parts.clock):
            guards = parts.guards_of(prepared.twin)
            status, sentences = await loop.run_in_executor(parts.pool, judge, prepared, text, parts.encoder, guards)
    shown = " ".join(s.text for s in sentences) if sentences else text or ""
    return finish(prepared, status, shown.strip(), sentences, parts)


def judge(
    prepared: Prepared, text: str | None, encoder: Encodes, guards: Guards | None = None
) -> tuple[Status, list[AnswerSentence]]:
    """The answer's status and sentences: the model's where the sources support them, or the author's own."""
    serving = prepared.twin.serving
    chunks = prepared.chunks
    said = [sentence.text for sentence in split_sentences(text or "")]
    if said:
        checked = check_sentences(said, prepared, encoder, guards)
        kept = [sentence for sentence in checked if sentence is not None]
        share = sum(sentence.supported for sentence in kept) / len(checked)
        if kept and share >= serving.min_supported_share:
            return "generated", kept
    extract = extract_answer(
        prepared.asked.question, find_ground(prepared, guards).stated, encoder, serving.max_extract_sentences
    )
    if extract:
        return "extracted", [guards.check_links(one, chunks) for one in extract] if guards is not None else extract
    name = prepared.twin.author.name
    return "refused", [AnswerSentence(text=f"{name} has not written about this.", supported=False)]


def check_sentences(
    said: Sequence[str], prepared: Prepared, encoder: Encodes, guards: Guards | None
) -> list[AnswerSentence | None]:
    """Each sentence of the model with what supports it, as it may go out; None where it may not."""
    chunks, question = prepared.chunks, prepared.asked.question
    ground = find_ground(prepared, guards)
    checked = check_support(said, ground.stated, encoder, prepared.twin.serving.min_support)
    if guards is None:
        return list(checked)
    found: list[AnswerSentence | None] = []
    for sentence, alike in zip(checked, likeness(said, question, encoder), strict=True):
        reason = guards.leave_out(sentence, ground, alike)
        if reason:
            prepared.notes.append(f"guard: {reason}")
        found.append(None if reason else guards.check_output(sentence, chunks))
    return found


def find_ground(prepared: Prepared, guards: Guards | None) -> Ground:
    """What an answer to a prepared question may rest on; found once."""
    if prepared.ground is None:
        chunks, question = prepared.chunks, prepared.asked.question
        prepared.ground = guards.find_ground(chunks, question, prepared.withheld) if guards else Ground(chunks)
    return prepared.ground


def bear_on(sentences: Sequence[str], question: str, encoder: Encodes) -> list[bool]:
    """Of each sentence whether it is like the question."""
    return [one >= BEARS for one in likeness(sentences, question, encoder)]


def likeness(sentences: Sequence[str], question: str, encoder: Encodes) -> list[float]:
    """The cosine of each sentence and a question."""
    return [float(one) for one in encoder.encode(list(sentences)) @ encoder.encode_query(question)]


def finish(prepared: Prepared, status: Any, text: str, sentences: list[AnswerSentence], parts: Parts) -> Answer:
    """The Answer record; hands the request's trace over."""
    seconds = {hop.name: round(hop.seconds, 6) for hop in prepared.hops}
    whole = max(0.0, parts.clock() - prepared.begun)
    answer = Answer(
        question=prepared.asked.question,
        author=prepared.twin.author.id,
        text=text,
        status=status,
        sentences=sentences,
        sources=list_sources(sentences, prepared.sources if status != "refused" else []),
        model=prepared.twin.variants.get(prepared.asked.variant, prepared.twin.model),
        trace_id=prepared.trace_id,
        seconds={**seconds, "whole": round(whole, 6)},
    )
    supported = [sentence.supported for sentence in sentences]
    parts.record(
        TraceRecord(
            trace_id=prepared.trace_id,
            started=prepared.started,
            seconds=whole,
            author=answer.author,
            query=answer.question,
            hits=[
                TracedHit(
                    chunk_id=s.chunk.chunk_id,
                    url=s.chunk.url,
                    title=s.chunk.title,
                    score=s.score,
                    dense_score=s.dense_score,
                    sparse_score=s.sparse_score,
                )
                for s in prepared.sources
            ],
            answer=answer.text,
            status=answer.status,
            supported_share=sum(supported) / len(supported) if supported else None,
            model=answer.model,
            prompts=prepared.twin.prompts_in_use,
            hops=prepared.hops,
            error="; ".join(prepared.notes),
        )
    )
    return answer


def list_sources(sentences: Sequence[AnswerSentence], sources: Sequence[Source]) -> list[Citation]:
    """What is cited, once each in order; where nothing is, the retrieved chunks."""
    cited = {(c.chunk_id, c.start, c.end): c for sentence in sentences for c in sentence.citations}
    if cited:
        return list(cited.values())
    return [
        Citation(
            chunk_id=s.chunk.chunk_id,
            document_id=s.chunk.document_id,
            url=s.chunk.url,
            title=s.chunk.title,
            start=s.chunk.start,
            end=s.chunk.end,
            quote=s.chunk.text[:300],
            score=s.score,
        )
        for s in sources
    ]
