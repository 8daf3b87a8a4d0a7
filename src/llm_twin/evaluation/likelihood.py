"""What a causal language model makes of given texts, and what it writes: log-likelihoods and generations.

Imports nothing of the project and only torch and transformers, inside functions, because it runs in two
environments: in evaluation's own process, and as a script in the environment that can load a quantized model:

    python likelihood.py REQUEST.json RESPONSE.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def encode_prompt(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of a conversation up to where the assistant begins; plain text where there is no template."""
    if tokenizer.chat_template:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        return list(ids)
    text = "\n\n".join(message["content"] for message in messages) + "\n\n"
    return list(tokenizer(text)["input_ids"])


def context_length(model: Any) -> int:
    """How many tokens the model can attend to."""
    return int(getattr(model.config, "max_position_embeddings", 0) or 2048)


def score_completions(
    model: Any, tokenizer: Any, pairs: list[tuple[list[dict[str, str]], str]], batch_size: int = 8
) -> list[tuple[float, int]]:
    """For each (messages, completion): (sum of negative log-likelihoods in nats, number of tokens counted).

    Only the completion's tokens count. A completion that does not fit the context is cut at its end; a prompt that
    leaves it less than half the context loses its beginning.
    """
    import torch

    limit = context_length(model)
    encoded = []
    for messages, completion in pairs:
        answer = tokenizer(completion, add_special_tokens=False)["input_ids"][: limit - 1]
        prompt = encode_prompt(tokenizer, messages)[-max(limit - len(answer), limit // 2) :]
        answer = answer[: limit - len(prompt)]
        encoded.append((prompt, answer))
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i][0]) - len(encoded[i][1]))
    results: list[tuple[float, int]] = [(0.0, 0)] * len(encoded)
    device = next(model.parameters()).device
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        width = max(len(encoded[i][0]) + len(encoded[i][1]) for i in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        counted = torch.zeros((len(batch), width), dtype=torch.bool)
        for row, i in enumerate(batch):
            prompt, answer = encoded[i]
            length = len(prompt) + len(answer)
            ids[row, :length] = torch.tensor(prompt + answer)
            mask[row, :length] = 1
            counted[row, max(len(prompt), 1) : length] = True
        with torch.inference_mode():
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits.float().cpu()
        log_probabilities = torch.log_softmax(logits[:, :-1], dim=-1)
        losses = -log_probabilities.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)
        kept = counted[:, 1:]
        for row, i in enumerate(batch):
            results[i] = (float(losses[row][kept[row]].double().sum()), int(kept[row].sum()))
    return results


def generate_texts(
    model: Any,
    tokenizer: Any,
    conversations: list[list[dict[str, str]]],
    max_new_tokens: int,
    batch_size: int = 8,
    seed: int = 20,
    temperature: float = 0.0,
    repetition_penalty: float = 1.1,
) -> list[str]:
    """What the model answers to each conversation: greedy at temperature 0, else sampled from `seed`.

    One padded batch at a time, prompts of like length together.
    """
    import torch

    limit = context_length(model) - max_new_tokens
    prompts = [encode_prompt(tokenizer, messages)[-limit:] for messages in conversations]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    texts = [""] * len(prompts)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    device = next(model.parameters()).device
    sampling: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling["temperature"] = temperature
    torch.manual_seed(seed)
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        width = max(len(prompts[i]) for i in batch)
        ids = torch.full((len(batch), width), int(pad or 0), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=max_new_tokens,
                repetition_penalty=repetition_penalty,
                pad_token_id=pad,
                **sampling,
            )
        for row, i in enumerate(batch):
            texts[i] = tokenizer.decode(output[row, width:], skip_special_tokens=True).strip()
    return texts


def main() -> None:
    """Answer a request: {"model", "pairs": [[messages, completion]], "conversations", "max_new_tokens", "seed"}."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(request["model"])
    model = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32)
    model.eval()
    pairs = [(messages, completion) for messages, completion in request["pairs"]]
    begun = time.monotonic()
    scored = score_completions(model, tokenizer, pairs)
    texts = generate_texts(model, tokenizer, request["conversations"], request["max_new_tokens"], seed=request["seed"])
    response = {"losses": scored, "texts": texts, "seconds": time.monotonic() - begun}
    Path(sys.argv[2]).write_text(json.dumps(response), encoding="utf-8")


if __name__ == "__main__":
    main()
