"""What `benchmarks voice` makes of folders as people have them."""

import json

import pytest

from benchmarks.voice import read_all, read_authors
from llm_twin.errors import InputError
from llm_twin.evaluation.voice.files import read_text, score_files
from llm_twin.evaluation.voice.prose import count_words

SENTENCE = (
    "I went down to the harbour {n} times that year, and each time the tide was {n} inches lower than it should be."
)


def write_post(path, words, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    sentences = [SENTENCE.format(n=f"{path.stem} {n}") for n in range(words // 20)]
    paragraphs = [" ".join(sentences[n : n + 5]) for n in range(0, len(sentences), 5)]
    path.write_bytes("\n\n".join(paragraphs).encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_text_of_any_usual_encoding_is_read(tmp_path, encoding):
    text = "Café — no: a naïve harbour. " * 20 if encoding != "cp1252" else "Café – no: a naïve harbour. " * 20
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "a.txt") == text


def test_folders_with_odd_files_give_the_authors_that_have_enough_and_name_the_others(tmp_path, capsys):
    for author, encoding in (("ann", "utf-8"), ("bob", "utf-16-le")):
        for n in range(5):
            write_post(tmp_path / author / f"post{n}.md", 900, encoding)
    write_post(tmp_path / "one-book" / "book.txt", 9000)
    write_post(tmp_path / "stubs" / "a.md", 60)
    (tmp_path / "ann" / "empty.md").write_bytes(b"")
    (tmp_path / "ann" / "picture.md").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "stray.md").write_text("not in a folder")
    authors = read_all([tmp_path])
    assert {name: len(texts) for name, texts in authors.items() if name != "one-book"} == {"ann": 5, "bob": 5}
    parts = [count_words(text) for text in authors["one-book"]]
    assert len(parts) >= 10 and min(parts) >= 300 and sum(parts) > 7500
    said = capsys.readouterr().out
    assert "one-book: too few documents to hold any out, so they are cut into" in said
    assert "nothing: no " in said and "stubs: left out; 4 documents and 3,000 words would do" in said
    assert "ann: 5 of 7 documents" in said


@pytest.mark.parametrize("make, message", [
    (lambda folder: None, "holds no folders"),
    (lambda folder: write_post(folder / "ann" / "a.md", 60), "0 of 1 authors have enough prose"),
    (lambda folder: (folder / "ArticleDocument.json").write_text('{"a": 1}'), "is no data-warehouse export"),
    (lambda folder: (folder / "ArticleDocument.json").write_text("[{"), "is no data-warehouse export"),
])  # fmt: skip
def test_what_cannot_be_measured_is_said_with_a_remedy(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_all([tmp_path])
    assert caught.value.remedy
    with pytest.raises(InputError, match="no such folder"):
        read_authors(tmp_path / "missing")


def test_an_export_and_a_folder_that_name_the_same_author_are_one(tmp_path):
    for name in ("ann", "bob"):
        for n in range(4):
            write_post(tmp_path / "posts" / name / f"post{n}.md", 900)
    (tmp_path / "export").mkdir()
    article = {"author_full_name": "ann", "content": {"Content": (tmp_path / "posts/ann/post0.md").read_text()[:2000]}}
    (tmp_path / "export" / "ArticleDocument.json").write_text(json.dumps([article]))
    assert len(read_all([tmp_path / "posts", tmp_path / "export"])["ann"]) == 5


def test_too_small_a_folder_for_a_file_to_be_scored_is_said(tmp_path):
    write_post(tmp_path / "ann" / "only.md", 3000)
    write_post(tmp_path / "draft.md", 300)
    with pytest.raises(InputError, match="1 documents"):
        score_files([tmp_path / "draft.md"], tmp_path / "ann", 100)
