"""A recipe's sections on serving: how passages are found, what is checked, kept and answered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from llm_twin.recipe_parts import Section


class RetrievalRecipe(Section):
    """Retrieval: how the chunks that bear on a question are found. `twin tune` fits it to a corpus."""

    top_k: int = Field(default=5, ge=1, le=100)
    candidates: int = Field(default=100, ge=1, le=1000, description="looked at on each side")
    fusion: Literal["rrf", "weighted", "dense", "sparse"] = "weighted"
    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the dense side in weighted fusion")
    expansion: Literal["none", "synonyms", "llm"] = "none"
    self_query: Literal["none", "rules", "llm"] = Field(
        default="rules", description="filters that the question itself names"
    )
    feedback: bool = Field(default=True, description="expand a query from what it finds first")
    feedback_focus: float = Field(
        default=4.0, ge=0, le=8, description="power of the scores by which chunks found first count; 0: all alike"
    )
    dense_feedback_chunks: int = Field(default=3, ge=1, le=50)
    dense_feedback_weight: float = Field(default=0.6, ge=0, le=1, description="of the mean of those chunks")
    sparse_feedback_chunks: int = Field(default=3, ge=1, le=50)
    sparse_feedback_terms: int = Field(default=10, ge=1, le=200)
    sparse_feedback_weight: float = Field(default=0.5, ge=0, le=1, description="of the terms found (RM3)")
    pool: int = Field(default=100, ge=1, le=200, description="fused hits that are read, deduplicated and reranked")
    deduplicate: bool = True
    neighbour_weight: float = Field(default=0.5, ge=0, lt=1, description="of a hit's nearest hits in its score")
    neighbours: int = Field(default=10, ge=1, le=20)
    cross_encoder: str = Field(default="", description="a sentence-transformers CrossEncoder; empty: none")
    cross_encoder_weight: float = Field(default=0.7, ge=0, le=1)
    diversity: float = Field(default=0.0, ge=0, lt=1, description="maximal marginal relevance; 0: off")
    compress: bool = Field(default=False, description="cut sentences that do not bear on the question")
    compress_share: float = Field(default=0.5, ge=0, le=1, description="of the best sentence's likeness to stay")


class EngineRecipe(Section):
    """How a GPU engine holds the model; `twin engine` makes its arguments of it."""

    shards: int = Field(default=1, ge=1, description="GPUs over which each layer is split (tensor parallelism)")
    quantization: Literal["", "gptq", "awq", "marlin", "fp8", "bitsandbytes"] = Field(
        default="", description="how the weights are stored; empty: as the model's own configuration says"
    )
    kv_cache: Literal["", "fp8", "static"] = Field(
        default="",
        description="keys and values: fp8 on GPU engines; static: laid out at the start (the local predictor; TGI and "
        "vLLM always do); empty: the model's format, as they come",
    )
    max_tokens: int = Field(
        default=0, ge=0, le=1_000_000, description="of prompt and answer together; 0: as the manifest says (4096)"
    )
    speculative_tokens: int = Field(
        default=0, ge=0, le=32, description="guessed ahead and checked at once (speculative decoding); 0: none"
    )
    draft_model: str = Field(
        default="", description="a small model that guesses (vLLM: a folder or hub id); empty: pieces of the prompt"
    )
    prefix_caching: bool | None = Field(
        default=None, description="keep what was computed of prompts that begin alike; null: as the engine chooses"
    )
    max_lora_rank: int = Field(
        default=0, ge=0, le=512, description="highest rank among the adapters (vLLM; its own default is 16)"
    )
    max_loras: int = Field(default=0, ge=0, le=1000, description="adapters in one batch (vLLM; its own default is 1)")

    @model_validator(mode="after")
    def _guesses_something(self) -> EngineRecipe:
        if self.draft_model and not self.speculative_tokens:
            raise ValueError("draft_model needs speculative_tokens: how many tokens it guesses ahead")
        return self


class GuardrailsRecipe(Section):
    """Guards around an answer; each can be switched off."""

    injection: bool = Field(default=True, description="refuse questions that try to give the model other orders")
    pii: bool = Field(default=True, description="mask personal data in questions")
    toxicity: bool = True
    documents: bool = Field(default=True, description="blank orders to a model out of retrieved text")
    output: bool = Field(default=True, description="mask personal data and secrets, stop abuse, in what is written")
    max_question_characters: int = Field(default=8000, ge=1)
    budget_seconds: float = Field(
        default=1.0, gt=0, description="of the guard of retrieved text; what it could not judge by then is left out"
    )
    links: bool = Field(default=True, description="leave addresses out of answers that are not the sources' own")
    recited: bool = Field(
        default=True,
        description="leave out sentences that say as their own what the passages only quote or speak of as to be told",
    )
    stray: float = Field(
        default=0.3,
        ge=-1,
        le=1,
        description="likeness to the question (cosine) below which unsupported sentences are left out, not marked",
    )
    max_copied_words: int = Field(
        default=25, ge=8, description="word for word from the author's texts beyond the passages: longer is withheld"
    )
    injection_model: str = Field(default="", description="a text classifier from the hub, asked beside our own")
    toxicity_model: str = Field(default="", description="a text classifier from the hub, in place of the word list")


class CacheRecipe(Section):
    """What the server keeps to answer sooner; nothing crosses authors, or the rights of access keys."""

    answers: bool = Field(default=True, description="only where sampling leaves nothing to chance")
    ttl_seconds: float = Field(default=3600, ge=0, description="of an answer and of a question's vector")
    max_answers: int = Field(default=1000, ge=0, description="of one twin")


class HedgingRecipe(Section):
    """A second request to the predictor where the first one is late; the other is cancelled."""

    budget: float = Field(default=0.0, ge=0, le=1, description="share of requests that may be sent twice; 0: none")
    percentile: float = Field(
        default=0.95, ge=0.5, lt=1, description="of recent answers' times: what takes longer is sent again"
    )
    after_seconds: float = Field(default=0.0, ge=0, description="a fixed time instead; 0: the percentile's")


class ServingRecipe(Section):
    """Serving: how a question becomes an answer with sources."""

    retrieval: RetrievalRecipe = RetrievalRecipe()
    cache: CacheRecipe = CacheRecipe()
    endpoint: str = Field(
        default="", description="an OpenAI-compatible base URL that answers instead of the trained model"
    )
    endpoint_model: str = Field(default="", description="the endpoint's model name")
    prompt_alias: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="prompts come from MLflow's registry, the version with this alias; empty: the package's",
    )
    model: Literal["adapter", "merged", "gptq"] = Field(
        default="adapter",
        description="what one machine serves; merged and gptq: one twin, without base and SFT beside it",
    )
    max_new_tokens: int = Field(default=160, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    min_support: float = Field(default=0.6, ge=0, le=1, description="below it a sentence counts as unsupported")
    min_relevance: float = Field(default=0.25, ge=-1, le=1, description="best source below it: refuse")
    guardrails: GuardrailsRecipe = GuardrailsRecipe()
    min_supported_share: float = Field(
        default=0.5, ge=0, le=1, description="of an answer's sentences; below it the author is quoted instead"
    )
    max_extract_sentences: int = Field(default=3, ge=1, le=20)
    questions: list[str] = Field(default=[], description="asked at the end of a run")
    engine: EngineRecipe = EngineRecipe()
    compile: bool = Field(default=False, description="the local predictor's model with torch.compile (C++ compiler)")
    hedging: HedgingRecipe = HedgingRecipe()
