"""One collection run: ask every source, extract, write what changed, name the result.

Items are written one by one as they come, each on its own idempotent: a run that is killed loses nothing, and the
next one goes on from what is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from llm_twin.collection.dispatch import pick_source
from llm_twin.collection.http import Fetcher
from llm_twin.collection.pool import ExtractionPool
from llm_twin.collection.records import (
    EXTRACTION_VERSION,
    Failure,
    Found,
    Gone,
    ItemError,
    Unchanged,
    canonicalize_url,
    document_id,
    make_document,
)
from llm_twin.collection.results import Collected, SourceResult
from llm_twin.collection.sources.context import Context, Source
from llm_twin.digests import digest_bytes
from llm_twin.documents import Author
from llm_twin.errors import InputError, SourceError, StoreError
from llm_twin.progress import report
from llm_twin.recipes import CollectionRecipe, SourceRecipe
from llm_twin.stores.warehouse import Warehouse

IN_FLIGHT = 32  # found things between fetching and writing
REPORT_SECONDS = 2.0


def collect(author: Author, recipe: CollectionRecipe, warehouse: Warehouse, github_token: str = "") -> Collected:
    """Collect an author's sources into the warehouse and take a snapshot of all authors that were found.

    `github_token` raises GitHub's limit from 60 requests an hour to 5,000; it is sent to GitHub's API only.
    Raises InputError for a source that no one can collect; what fails later is counted in the result.
    """
    chosen = [(source, pick_source(source.location, source.type)) for source in recipe.sources]
    warehouse.ensure_schema()
    if warehouse.is_forgotten(author.id, ""):
        raise InputError(f"{author.id!r} was forgotten", "forgetting is final: collect under another author id")
    return asyncio.run(_Run(author, recipe, warehouse, github_token).run(chosen))


def source_key(source: SourceRecipe) -> str:
    """How the warehouse names a source: a URL in its canonical spelling, a path by its name."""
    location = source.location
    if location.startswith(("http://", "https://")):
        return canonicalize_url(location)
    return "file:" + location.rstrip("/").split("/")[-1]


class _Run:
    """The state of one run: who owns which document, and what has been seen."""

    def __init__(self, author: Author, recipe: CollectionRecipe, warehouse: Warehouse, github_token: str) -> None:
        self.author = author
        self.github_token = github_token
        self.recipe = recipe
        self.warehouse = warehouse
        self.keys = [source_key(source) for source in recipe.sources]
        self.known: dict[str, dict[str, dict[str, Any]]] = {}
        self.seen: set[str] = set()
        self.good_urls: list[str] = []
        self.authors: dict[str, Author] = {}
        self.done = 0
        self.reported = time.monotonic()

    async def run(self, chosen: Sequence[tuple[SourceRecipe, Source]]) -> Collected:
        begun = time.monotonic()
        recipe = self.recipe
        collected = Collected(authors=[])
        fetcher = Fetcher(
            connect_to=recipe.connect_to,
            requests_per_second=recipe.requests_per_second,
            timeout_seconds=recipe.timeout_seconds,
            max_bytes=recipe.max_page_bytes,
            allow_addresses=recipe.allow_addresses,
        )
        with ExtractionPool() as pool:
            async with fetcher:
                for source, module in chosen:
                    collected.sources.append(await self._run_source(source, module, fetcher, pool))
        await asyncio.to_thread(self.warehouse.release, self.author.id, self.good_urls)
        self._add_author(self.author, only_if_none=True)
        collected.authors = sorted(self.authors)
        collected.snapshot = await asyncio.to_thread(self.warehouse.take_snapshot, collected.authors)
        collected.requests = fetcher.requests
        collected.seconds = time.monotonic() - begun
        return collected

    def _add_author(self, author: Author, only_if_none: bool = False) -> None:
        if author.id in self.authors or (only_if_none and self.authors):
            return
        self.authors[author.id] = author
        self.warehouse.put_author(author)
        self.known[author.id] = self.warehouse.current_states(author.id)

    async def _run_source(
        self, source: SourceRecipe, module: Source, fetcher: Fetcher, pool: ExtractionPool
    ) -> SourceResult:
        begun = time.monotonic()
        key = source_key(source)
        result = SourceResult(source.location, module.NAME)
        context = Context(
            author=self.author,
            fetcher=fetcher,
            max_pages=self.recipe.max_pages,
            max_file_bytes=self.recipe.max_page_bytes,
            base_url=source.base_url,
            github_token=self.github_token,
            states=await asyncio.to_thread(self.warehouse.get_http_states, self.author.id, key),
        )
        report(f"collecting {module.NAME}: {source.location}")
        work: set[asyncio.Task[None]] = set()
        try:
            async for event in module.collect(source.location, context):
                if len(work) >= IN_FLIGHT:
                    done, work = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                if isinstance(event, Found):
                    work.add(asyncio.create_task(self._take(event, key, context, pool, result)))
                elif isinstance(event, Unchanged):
                    self._keep(event.url, context, result)
                elif isinstance(event, Gone):
                    await self._bury(event, context, result)
                else:
                    await self._refuse(event, key, result)
        except ItemError as error:
            await self._refuse(error.failure, key, result)
        except SourceError as error:
            result.problem = str(error)
        finally:
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        if module.COMPLETE and not result.problem and not result.failures:
            await self._bury_unlisted(key, result)
        result.seconds = time.monotonic() - begun
        return result

    async def _take(self, found: Found, key: str, context: Context, pool: ExtractionPool, result: SourceResult) -> None:
        """Extract and write one found thing."""
        try:
            text, fields = await pool.convert(found)
            author = found.author or self.author
            self._add_author(author)
            document = make_document(author.id, found, digest_bytes(found.raw), text, fields)
        except ItemError as error:
            if found.optional:
                result.counts["skipped"] += 1
                await self._remember(found, key, "skipped", "")
            else:
                await self._refuse(error.failure, key, result)
            return
        if document.document_id in self.seen or self._is_anothers(document.author, document.document_id, key):
            result.counts["duplicate"] += 1
            await self._remember(found, key, "page", document.document_id)
            return
        self.seen.add(document.document_id)
        self.good_urls.append(found.url)
        try:
            outcome = await asyncio.to_thread(self.warehouse.write_revision, document, found.raw, key)
        except StoreError as error:
            if "forgotten" not in str(error):
                raise
            result.counts["forgotten"] += 1
            return
        result.counts[outcome] += 1
        await self._remember(found, key, "page", document.document_id)
        self._tick()

    def _is_anothers(self, author: str, document: str, key: str) -> bool:
        """Whether an earlier source of this recipe holds the document: the first in the list has the say."""
        holder = self.known.get(author, {}).get(document, {}).get("source")
        return holder in self.keys and self.keys.index(holder) < self.keys.index(key)

    def _keep(self, url: str, context: Context, result: SourceResult) -> None:
        state = context.states.get(url, {})
        if state.get("role") == "skipped":
            result.counts["skipped"] += 1
            return
        self._add_author(self.author)
        self.seen.add(state.get("document_id") or document_id(self.author.id, url))
        result.counts["unchanged"] += 1
        self._tick()

    async def _remember(self, found: Found, key: str, role: str, document: str) -> None:
        if found.state is not None:
            state = found.state | {"role": role, "document_id": document, "extraction": EXTRACTION_VERSION}
            await asyncio.to_thread(self.warehouse.put_http_states, self.author.id, key, [state])

    async def _refuse(self, failure: Failure, key: str, result: SourceResult) -> None:
        result.failures.append(failure)
        await asyncio.to_thread(
            self.warehouse.quarantine, self.author.id, key, failure.url, failure.reason, failure.detail[:500]
        )

    async def _bury(self, gone: Gone, context: Context, result: SourceResult) -> None:
        buried = context.states.get(gone.url, {}).get("document_id") or document_id(self.author.id, gone.url)
        if await asyncio.to_thread(self.warehouse.bury, self.author.id, buried, gone.detail or "gone"):
            result.counts["gone"] += 1

    async def _bury_unlisted(self, key: str, result: SourceResult) -> None:
        for author in self.authors:
            for document, state in self.known[author].items():
                if state["source"] != key or document in self.seen:
                    continue
                if await asyncio.to_thread(self.warehouse.bury, author, document, "not in its source any more"):
                    result.counts["gone"] += 1

    def _tick(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            report(f"collected {self.done:,} items")
