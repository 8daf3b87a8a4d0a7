"""sitemaps.org: which pages a site says it has."""

from __future__ import annotations

import gzip
import zlib

from lxml import etree

from llm_twin.collection.http import Fetcher, FetchError
from llm_twin.collection.records import Failure, canonicalize_url

MAX_SITEMAPS = 50
MAX_SITEMAP_BYTES = 50_000_000  # the protocol's own limit


async def read_sitemaps(fetcher: Fetcher, addresses: list[str], max_urls: int) -> tuple[list[str], list[Failure]]:
    """The pages of these sitemaps and those they refer to, and what failed. A missing sitemap is no failure."""
    queue = list(dict.fromkeys(addresses))
    seen: set[str] = set()
    pages: dict[str, None] = {}
    failures: list[Failure] = []
    while queue and len(seen) < MAX_SITEMAPS and len(pages) < max_urls:
        address = queue.pop(0)
        if address in seen:
            continue
        seen.add(address)
        try:
            response = await fetcher.get(address)
        except FetchError as error:
            if error.reason not in ("http-404", "http-410", "http-403", "robots"):
                failures.append(Failure(address, error.reason, error.detail))
            continue
        try:
            nested, found = parse_sitemap(response.body)
        except ValueError as error:
            failures.append(Failure(address, "invalid-sitemap", str(error)))
            continue
        queue.extend(nested)
        pages.update(dict.fromkeys(found))
    return list(pages)[:max_urls], failures


def parse_sitemap(body: bytes) -> tuple[list[str], list[str]]:
    """(further sitemaps, pages) of one sitemap, gzipped or plain. Raises ValueError if it is none."""
    if body[:2] == b"\x1f\x8b":
        try:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            body = unpacker.decompress(body, MAX_SITEMAP_BYTES)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"damaged gzip: {error}") from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, recover=True)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ValueError(f"not XML: {error}") from error
    kind = etree.QName(root).localname if root is not None else ""
    if kind not in ("urlset", "sitemapindex"):
        raise ValueError(f"no sitemap: it begins with <{kind}>")
    places = [
        (child.text or "").strip()
        for entry in root
        if isinstance(entry.tag, str)
        for child in entry
        if isinstance(child.tag, str) and etree.QName(child).localname == "loc"
    ]
    places = [place for place in places if place.startswith(("http://", "https://"))]
    if kind == "sitemapindex":
        return places, []
    return [], [canonicalize_url(place) for place in places]
