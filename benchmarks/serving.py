"""Serving, against a stock KServe transformer before the same fast predictor, in one run."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.load import Load, build_request, hammer, open_streams

DESCRIPTION = "the transformer's throughput, latency and streams against KServe's own; retrieval; micro-batching"
STREAMS = 200
NO_LIMIT = ["--per-minute", "100000000"]  # all clients are one address here
CHUNKS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs; ratios are their medians")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each run")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="in the index of the retrieval row")
    parser.add_argument("--judged-within", type=float, default=240, help="seconds to wait for the guard of passages")
    parser.add_argument("--skip-load", action="store_true", help="leave out throughput and streams without retrieval")
    parser.add_argument("--skip-retrieval", action="store_true", help="leave out the rows that need an index")
    parser.add_argument("--skip-batching", action="store_true", help="leave out micro-batching")
    parser.add_argument("--skip-speed", action="store_true", help="leave out guesses, static cache and compilation")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Run all rows; returns the figures."""
    figures: dict[str, float | int | str] = {}
    if not args.skip_load:
        figures |= _against_stock(args)
    if not args.skip_retrieval:
        from benchmarks.serving_retrieval import measure_default_recipe

        figures |= measure_default_recipe(args.chunks, args.seconds, args.judged_within)
    if not args.skip_batching:
        from benchmarks.serving_batching import measure_batching

        figures |= measure_batching(args.rounds)
    if not args.skip_speed:
        from benchmarks.serving_speed import measure_speed

        figures |= measure_speed(args.rounds)
    return figures


def _against_stock(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Throughput and streams of both transformers before one predictor."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name, ExitStack() as stack:
        folder = Path(name)
        predictor = stack.enter_context(_process("benchmarks.fast_predictor", folder, []))
        host = f"127.0.0.1:{predictor}"
        stock = stack.enter_context(_process("benchmarks.stock_transformer", folder, [host]))
        ours = stack.enter_context(_transformer(folder, predictor))
        return _throughput(args, predictor, stock, ours) | _streams(args, stock, ours)


def _throughput(args: argparse.Namespace, predictor: int, stock: int, ours: int) -> dict[str, float | int | str]:
    """Requests a second of KServe v1 at 1, 16 and 64 clients, passing through without retrieval."""
    question = "When did the gauge at the harbour stop?"
    asked = build_request("/v1/models/m:predict", {"instances": [question]})
    chat = build_request(
        "/openai/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": question}]}
    )
    direct = build_request("/v1/chat/completions", {"model": "m", "messages": []})
    rows = {"direct": (predictor, direct), "stock": (stock, asked), "ours": (ours, asked), "ours, OpenAI": (ours, chat)}
    for port, request in rows.values():
        asyncio.run(hammer(port, request, 4, 0.5))
    seen: dict[tuple[str, int], list[Load]] = {}
    for _ in range(args.rounds):
        for clients in (1, 16, 64):
            for row, (port, request) in rows.items():
                load = asyncio.run(hammer(port, request, clients, args.seconds))
                if load.refused:
                    print(f"{row} at {clients} clients: statuses {load.statuses}")
                seen.setdefault((row, clients), []).append(load)
    print(f"\n{'':<14}{'clients':>8}{'requests/s':>12}{'p50 ms':>9}{'p95 ms':>9}")
    for (row, clients), loads in sorted(seen.items(), key=lambda item: (item[0][1], item[0][0])):
        rate = statistics.median(load.per_second for load in loads)
        p50, p95 = (statistics.median(load.percentile(share) for load in loads) for share in (0.5, 0.95))
        print(f"{row:<14}{clients:>8}{rate:>12.0f}{p50:>9.2f}{p95:>9.2f}")

    def ratio(clients: int, row: str = "ours") -> float:
        pairs = zip(seen[(row, clients)], seen[("stock", clients)], strict=True)
        return round(statistics.median(one.per_second / other.per_second for one, other in pairs), 2)

    pairs = zip(seen[("ours", 16)], seen[("direct", 16)], strict=True)
    added = statistics.median(one.percentile(0.5) - other.percentile(0.5) for one, other in pairs)
    return {
        "ratio_to_stock_c1": ratio(1),
        "ratio_to_stock_c16": ratio(16),
        "ratio_to_stock_c64": ratio(64),
        "ratio_to_stock_openai_c16": ratio(16, "ours, OpenAI"),
        "ratio_to_stock_openai_c64": ratio(64, "ours, OpenAI"),
        "requests_per_second_c16": round(statistics.median(x.per_second for x in seen[("ours", 16)])),
        "requests_per_second_c64": round(statistics.median(x.per_second for x in seen[("ours", 64)])),
        "added_p50_ms": round(added, 2),
        "refused": sum(load.refused for (row, _), loads in seen.items() for load in loads if row.startswith("ours")),
    }


def _streams(args: argparse.Namespace, stock: int, ours: int) -> dict[str, float | int | str]:
    """Time to the first byte of 200 streams at once, and whether each came whole and in order."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "go on"}]}
    rows = {
        "stock": (stock, build_request("/stream", body)),
        "ours": (ours, build_request("/openai/v1/chat/completions", body)),
    }
    first: dict[str, list[float]] = {"stock": [], "ours": []}
    lost = 0
    for _ in range(args.rounds):
        for row, (port, request) in rows.items():
            streams = asyncio.run(open_streams(port, request, STREAMS))
            begun = [s.first_byte for s in streams if s.events]
            if len(begun) < STREAMS:
                print(f"{row}: {STREAMS - len(begun)} streams did not begin")
            first[row].append(statistics.median(begun or [float("inf")]))
            if row == "ours":
                lost += sum(not s.whole for s in streams)
    ratio = statistics.median(a / b for a, b in zip(first["ours"], first["stock"], strict=True))
    print(f"\n{STREAMS} streams, median time to the first byte, ms:")
    for row, values in first.items():
        print(f"  {row:<8}{1000 * statistics.median(values):>8.0f}")
    return {
        "sse_ttfb_ratio": round(ratio, 3),
        "sse_ttfb_ms": round(1000 * statistics.median(first["ours"])),
        "streams_lost": lost,
    }


@contextmanager
def _process(module: str, folder: Path, arguments: list[str]) -> Iterator[int]:
    """A process that listens on a free port; yields the port."""
    from llm_twin.serving.processes import free_port, run_server

    port = free_port()
    with run_server(module, [str(port), *arguments], f"http://127.0.0.1:{port}/", folder / f"{module}.log"):
        yield port


@contextmanager
def _transformer(folder: Path, predictor: int) -> Iterator[int]:
    """Our transformer, passing through without retrieval; yields its port."""
    from llm_twin.documents import Author
    from llm_twin.serving.processes import free_port, run_server, write_json
    from llm_twin.serving.twins import ServerConfig, Twin

    author = Author(id="m", name="A Writer")
    config = ServerConfig(twins=[Twin(name="m", author=author)], predictor=f"http://127.0.0.1:{predictor}/v1")
    write_json(folder / "server.json", config.model_dump(mode="json"))
    port = free_port()
    arguments = ["--config", str(folder / "server.json"), "--port", str(port), *NO_LIMIT]
    with run_server(
        "llm_twin.serving.transformer", arguments, f"http://127.0.0.1:{port}/readyz", folder / "transformer.log"
    ):
        yield port
