"""The chat page in a real browser: ask, see the answer flow in, see its source, compare, judge."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.integration.serving import overfitted_twin as small

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
QUESTION, _, SENTENCE, _ = small.FACTS[0]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        one = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


def open_page(browser, served, **options):
    page = browser.new_page(**options)
    page.set_default_timeout(60_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(served.url)
    page.wait_for_selector("#twin option", state="attached")
    return page, errors


def ask(page, question):
    page.fill("#question", question)
    page.click("#send")
    page.wait_for_selector(f"article:has-text({json.dumps(question)}) .judge")


def shoot(page, name):
    """Keep a screenshot where the docs' ones are made (LLM_TWIN_SCREENSHOTS), else only in memory."""
    folder = os.environ.get("LLM_TWIN_SCREENSHOTS")
    image = page.screenshot(path=str(Path(folder) / f"{name}.png") if folder else None)
    assert len(image) > 5000


def test_a_question_is_answered_with_its_source(browser, served):
    page, errors = open_page(browser, served, viewport={"width": 1100, "height": 760}, color_scheme="light")
    assert "not Ada Quill" in page.inner_text("#disclosure")
    ask(page, QUESTION)
    assert page.inner_text("article .text").strip() == SENTENCE
    assert page.inner_text("article .status").startswith("generated")
    page.hover("article .sentence")
    assert page.locator("article .sources li.lit").count() == 1
    shoot(page, "answer")
    assert page.get_attribute("article .sources a", "href") == "https://quill.example/0"
    assert not errors
    page.close()


def test_variants_are_compared_and_a_verdict_is_kept(browser, served, folder):
    page, errors = open_page(browser, served, viewport={"width": 1100, "height": 760}, color_scheme="dark")
    page.check("#compare")
    page.fill("#question", QUESTION)
    page.click("#send")
    page.wait_for_selector(".judge >> nth=2")
    assert page.locator(".answer h3").all_inner_texts() == ["BASE", "SFT", "DPO"]
    page.fill(".answer >> nth=1 >> .judge input", "says which oil")
    page.click(".answer >> nth=1 >> button[aria-label='Good answer']")
    page.wait_for_selector("text=kept for review")
    shoot(page, "compare")
    line = json.loads((folder / "state" / "feedback" / "ada-quill.jsonl").read_text().splitlines()[-1])
    assert line["verdict"] == "up" and line["variant"] == "sft" and line["reason"] == "says which oil"
    assert not errors
    page.close()


def test_it_works_on_a_phone_and_by_keyboard(browser, served):
    page, errors = open_page(browser, served, viewport={"width": 390, "height": 800}, has_touch=True)
    page.focus("#question")
    page.keyboard.type(small.FACTS[1][0])
    page.keyboard.press("Enter")
    page.wait_for_selector(".judge")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select')].filter((e) => !e.labels?.length"
        " && !e.ariaLabel && !e.textContent.trim()).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    shoot(page, "phone")
    assert not errors
    page.close()


def test_text_of_an_author_is_never_markup(browser, served):
    page, errors = open_page(browser, served)
    page.fill("#question", "<img src=x onerror=document.title='taken'> What oil goes into the lamp?")
    page.click("#send")
    page.wait_for_selector(".status:not(:has-text('…'))")
    assert page.title() == "Ask a twin" and page.locator("article img").count() == 0
    assert not errors
    page.close()
