"""The loopback server of the sample author's two sites, by real requests."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llm_twin.sample.site import DATA_DIR, serve

BLOG, NEWS = "fenwick.example", "theslowgauge.example"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with serve() as url:
        yield url


def ask(base_url: str, path: str, host: str = BLOG, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": host, **named})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "path", "content_type", "content"),
    [
        (BLOG, "/", "text/html; charset=utf-8", b"Tide gauges"),
        (BLOG, "/feed.xml", "application/xml; charset=utf-8", b"<rss"),
        (BLOG, "/robots.txt", "text/plain; charset=utf-8", b"Sitemap:"),
        (BLOG, "/sitemap.xml", "application/xml; charset=utf-8", b"<urlset"),
        (BLOG, "/posts/forty-one-hours.html", "text/html; charset=utf-8", b"Forty-one hours"),
        (f"{BLOG}:8099", "/style.css", "text/css; charset=utf-8", b"body"),
        (NEWS, "/feed", "application/xml; charset=utf-8", b"content:encoded"),
        (NEWS, "/archive", "text/html; charset=utf-8", b"Book 41"),
        (NEWS, "/p/book-41", "text/html; charset=utf-8", b"available-content"),
        (NEWS.upper(), "/p/book-41?utm_source=x", "text/html; charset=utf-8", b"available-content"),
        (NEWS, "/img/tide-board.svg", "image/svg+xml; charset=utf-8", b"<svg"),
    ],
)
def test_each_site_answers_by_its_host(base_url: str, host: str, path: str, content_type: str, content: bytes) -> None:
    status, headers, body = ask(base_url, path, host)
    assert (status, headers["content-type"]) == (200, content_type)
    assert content in body
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (BLOG, "/posts/no-such-post.html"),
        (BLOG, "/p/book-41"),
        (BLOG, "/posts"),
        (NEWS, "/posts/forty-one-hours.html"),
        ("elsewhere.example", "/"),
        ("", "/"),
        (BLOG, "/nul%00.html"),
    ],
)
def test_what_is_not_there_is_404(base_url: str, host: str, path: str) -> None:
    assert ask(base_url, path, host)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../questions.yaml",
        "/%2e%2e/questions.yaml",
        "/posts/../../README.md",
        "/..%2fnewsletter/feed",
        "//etc/passwd",
        "/../../site.py",
        "/../blog-private/secret",
    ],
)
def test_paths_outside_of_the_site_are_404(base_url: str, path: str) -> None:
    assert ask(base_url, path)[0] == 404


def test_a_sibling_folder_with_the_same_prefix_and_links_outwards_are_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog-private").mkdir()
    (tmp_path / "blog-private" / "secret.html").write_text("secret")
    (tmp_path / "blog" / "link.html").symlink_to(tmp_path / "blog-private" / "secret.html")
    with serve(tmp_path) as url:
        assert ask(url, "/../blog-private/secret.html")[0] == 404
        assert ask(url, "/link.html")[0] == 404


def test_validators_give_304_without_a_body(base_url: str) -> None:
    _, headers, _ = ask(base_url, "/feed", NEWS)
    etag, modified = headers["etag"], headers["last-modified"]
    assert etag.startswith('"')
    for asked in ({"If_None_Match": etag}, {"If_None_Match": f'"x", W/{etag}'}, {"If_Modified_Since": modified}):
        status, again, body = ask(base_url, "/feed", NEWS, **asked)
        assert (status, body, again["etag"]) == (304, b"", etag)


def test_the_etag_outranks_the_date_and_odd_dates_are_ignored(base_url: str) -> None:
    _, headers, _ = ask(base_url, "/", BLOG)
    assert ask(base_url, "/", If_None_Match='"old"', If_Modified_Since=headers["last-modified"])[0] == 200
    assert ask(base_url, "/", If_Modified_Since="the day before yesterday")[0] == 200
    assert ask(base_url, "/", If_Modified_Since="Tue, 01 Jan 1980 00:00:00 GMT")[0] == 200


def test_the_etag_follows_the_content_and_not_the_time(tmp_path: Path) -> None:
    page = tmp_path / "blog" / "index.html"
    page.parent.mkdir()
    page.write_text("one")
    with serve(tmp_path) as url:
        first = ask(url, "/")[1]
        os.utime(page, (1, 1))
        touched = ask(url, "/")[1]
        page.write_text("two")
        changed = ask(url, "/")[1]
    assert first["etag"] == touched["etag"] != changed["etag"]
    assert touched["last-modified"] == "Thu, 01 Jan 1970 00:00:01 GMT"


def test_head_gives_the_headers_of_get_and_no_body(base_url: str) -> None:
    _, got, body = ask(base_url, "/p/book-41", NEWS)
    status, headed, nothing = ask(base_url, "/p/book-41", NEWS, method="HEAD")
    assert (status, nothing, headed["etag"]) == (200, b"", got["etag"])
    assert int(headed["content-length"]) == len(body)


def test_the_archive_pages_through_to_an_end(base_url: str) -> None:
    whole = json.loads(ask(base_url, "/api/v1/archive", NEWS)[2])
    paged: list[dict[str, object]] = []
    while page := json.loads(ask(base_url, f"/api/v1/archive?sort=new&offset={len(paged)}&limit=3", NEWS)[2]):
        paged += page
    assert paged == whole


def test_many_readers_at_once(base_url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(base_url, "/feed", NEWS)[0], range(64)))
    assert answers == [200] * 64


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "llm_twin.sample.site", "--port", "0", "--data", str(DATA_DIR)]
    source = str(DATA_DIR.parents[2])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split(" on ")[1].split()[0]
            assert ask(url, "/")[0] == 200
        finally:
            process.terminate()
