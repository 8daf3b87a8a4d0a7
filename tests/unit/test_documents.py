"""Records and their JSON-lines files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llm_twin.documents import Author, Citation, read_jsonl, stable_id, write_jsonl
from llm_twin.errors import InputError


def test_ids_depend_on_every_part_and_on_where_parts_end() -> None:
    assert stable_id("a", "bc") != stable_id("ab", "c")
    assert stable_id("a", "b") == stable_id("a", "b")
    assert len(stable_id("a", length=12)) == 12


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        Author.model_validate({"id": "jane", "name": "Jane", "nmae": "Jane"})


@given(st.lists(st.text(), max_size=5))
def test_any_text_survives_a_file(tmp_path_factory: pytest.TempPathFactory, quotes: list[str]) -> None:
    path = tmp_path_factory.mktemp("lines") / "citations.jsonl"
    records = [
        Citation(chunk_id=str(n), document_id="d", url="u", start=0, end=1, quote=quote, score=0.5)
        for n, quote in enumerate(quotes)
    ]
    assert write_jsonl(path, records) == len(records)
    assert list(read_jsonl(path, Citation)) == records


def test_a_bad_line_is_named(tmp_path) -> None:
    path = tmp_path / "authors.jsonl"
    path.write_text('{"id": "jane", "name": "Jane"}\n{"id": "JANE!", "name": "Jane"}\n')
    with pytest.raises(InputError, match=r"authors\.jsonl, line 2: id"):
        list(read_jsonl(path, Author))


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "authors.jsonl"
    write_jsonl(path, [Author(id="jane", name="Jane")])

    def broken():
        yield Author(id="joan", name="Joan")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_jsonl(path, broken())
    assert [author.id for author in read_jsonl(path, Author)] == ["jane"]
    assert list(tmp_path.iterdir()) == [path]
