"""What is masked, what is not, and that nothing else is touched."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_twin.privacy import find_pii, mask_pii

MASKED = [
    ("Write to jane.doe@acme.io today.", "Write to [email] today.", "email"),
    ("Call +44 20 7946 0958 or not.", "Call [phone] or not.", "phone"),
    ("Call (415) 555-2671, ask for me.", "Call [phone], ask for me.", "phone"),
    ("Card 4111 1111 1111 1111, valid.", "Card [card], valid.", "card"),
    ("Amex 378282246310005.", "Amex [card].", "card"),
    ("Pay to GB82 WEST 1234 5698 7654 32 now", "Pay to [iban] now", "iban"),
    ("Konto DE89370400440532013000.", "Konto [iban].", "iban"),
    ("From 8.8.8.8 it came.", "From [ip-address] it came.", "ip-address"),
    ("At 2001:4860:4860::8888 too", "At [ip-address] too", "ip-address"),
    ("SSN 536-90-4399.", "SSN [national-id].", "national-id"),
    ("NINO AB 12 34 56 C.", "NINO [national-id].", "national-id"),
    ("DNI 12345678Z", "DNI [national-id]", "national-id"),
    ("BSN: 111222333", "BSN: [national-id]", "national-id"),
    ("key AKIAIOSFODNN7EXAMPLE here", "key [secret] here", "secret"),
    ("password = 'hunter2!xY9'", "password = '[secret]'", "secret"),
    ("postgres://u:s3cr3tP4ss@db/x", "postgres://u:[secret]@db/x", "secret"),
]
KEPT = [
    "Write to admin@example.com or user@mail.example.org.",
    "Version 1.2.3.4 listens on 127.0.0.1 and 0.0.0.0, mask 255.255.255.0.",
    "pi is 3.14159265358979, and 2,500,000,000 is a number; 1234567890123456 is none of ours.",
    "On 2024-01-02 at 10:20:30 std::vector<int> x; logo@2x.png, @app.route('/'), git@github.com:a/b.git",
    "token = get_token(); password: str; api_key=os.environ['KEY']; api_key = 'YOUR_API_KEY_HERE'",
    "ISBN 978-3-16-148410-0, IBAN GB82 WEST 1234 5698 7654 33 (wrong by one), SSN 000-12-3456",
    "It’s the sea — “and nothing else” — he said… 🌊\n\n\tthen left.",
    "commit 33f8c166f1b0e0037c10ce86b8ee7c4d98fdff8d at 04:40, 6.12 metres, 1911–2024",
]


@pytest.mark.parametrize(("text", "masked", "kind"), MASKED)
def test_masks(text: str, masked: str, kind: str) -> None:
    found = mask_pii(text)
    assert found.text == masked
    assert found.counts == {kind: 1}


@pytest.mark.parametrize("text", KEPT)
def test_keeps(text: str) -> None:
    assert mask_pii(text).text == text


def test_a_private_key_goes_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"
    assert mask_pii(f"Before.\n{key}\nAfter.").text == "Before.\n[secret]\nAfter."


def test_what_is_allowed_stays() -> None:
    assert mask_pii("me@own.net, you@own.net", allowed=["me@own.net"]).text == "me@own.net, [email]"


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=300)
PIECES = st.one_of(WORDS, st.sampled_from([text for text, _, _ in MASKED] + KEPT))


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=6).map(" ".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask_pii(text)
    twice = mask_pii(once.text)
    assert twice.text == once.text
    assert twice.counts == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=6).map("\n".join))
def test_only_what_was_found_is_replaced(text: str) -> None:
    findings = find_pii(text)
    if not findings:
        assert mask_pii(text).text == text
    left = [
        text[a:b]
        for a, b in zip([0, *(f.end for f in findings)], [*(f.start for f in findings), len(text)], strict=True)
    ]
    masked = mask_pii(text).text
    at = 0
    for piece in left:
        for sentence in re.split(r"(?<=[.!?])\s", piece):
            if mask_pii(sentence).counts or not sentence:
                continue
            place = masked.find(sentence, at)
            assert place >= 0, (sentence, masked)
            at = place


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("the sea rose and nobody in the harbour wrote it down".split()), max_size=60))
def test_prose_without_personal_data_is_untouched(words: list[str]) -> None:
    text = " ".join(words)
    assert mask_pii(text).text == text


@pytest.mark.parametrize("text", ["1" * 50_000, "a@" * 20_000, "1.2.3." * 10_000, ":" * 30_000, "password=" * 5_000])
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()
    mask_pii(text)
    assert time.process_time() - begun < 10
