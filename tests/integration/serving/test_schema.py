"""schemathesis makes requests from the OpenAPI description: none may end in a 500, or in a form not described."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import InvalidArgument, Unsatisfiable

pytestmark = pytest.mark.timeout(3000)


def try_operations(url, examples):
    """Ask every operation of the description with bodies that fit it and bodies that do not."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = 0
    with httpx.Client(timeout=60) as client:
        for result in schema.get_all_operations():
            operation = result.ok()
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

                @given(case=operation.as_strategy(generation_mode=mode))
                @settings(
                    max_examples=examples,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                def ask(case):
                    nonlocal tried
                    sent = case.as_transport_kwargs(base_url=url)
                    kept = {name: sent[name] for name in ("method", "url", "json", "content", "params") if name in sent}
                    if isinstance(sent.get("data"), (bytes, str)):
                        kept["content"] = sent["data"]
                    try:
                        answer = client.request(**kept, headers=dict(sent.get("headers") or {}))
                    except (httpx.InvalidURL, UnicodeError, httpx.LocalProtocolError):
                        return  # cannot be put on the wire
                    tried += 1
                    assert answer.status_code < 500 or answer.status_code in (501, 503), (
                        case.method, case.path, kept.get("json"), answer.text[:300],
                    )  # fmt: skip

                try:
                    ask()
                except (Unsatisfiable, InvalidArgument):
                    continue  # nothing to vary: an operation without parameters has no wrong request
    return tried


def test_requests_made_from_the_description_make_no_500(served):
    assert try_operations(served.url, examples=6) > 100
    assert httpx.get(f"{served.url}/healthz").status_code == 200


@pytest.mark.deep
def test_many_requests_made_from_the_description_make_no_500(served):
    assert try_operations(served.url, examples=120) > 2000
    assert httpx.get(f"{served.url}/healthz").status_code == 200
