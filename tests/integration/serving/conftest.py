"""One served twin for all tests of this folder: starting it is most of their time."""

from __future__ import annotations

import openai
import pytest

from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.parts import running_index, running_twin


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def models(folder):
    return small.build_models(folder / "models")


@pytest.fixture(scope="session")
def vectors(folder):
    with running_index(folder) as url:
        yield url


@pytest.fixture(scope="session")
def served(folder, models, vectors):
    with running_twin(folder, models, vectors) as up:
        yield up


@pytest.fixture(scope="session")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/openai/v1", api_key="none", max_retries=0) as one:
        yield one
