"""A body that does not fit is refused by the name of its first wrong field, as the client wrote it."""

from __future__ import annotations

import pytest

from llm_twin.serving.chat_models import parse_body
from llm_twin.serving.http import HttpError
from llm_twin.serving.protocols import V1Request


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"instances": [{"question": 5}]}', "instances.0.question"),
        ('{"instances": ["When?", {"question": "When?", "top_k": 0}]}', "instances.1.top_k"),
        ('{"instances": []}', "instances"),
    ],
)
def test_the_field_has_the_name_that_the_client_knows(body, field):
    with pytest.raises(HttpError) as caught:
        parse_body(body.encode(), V1Request)
    assert str(caught.value).startswith(f"{field}: ")
