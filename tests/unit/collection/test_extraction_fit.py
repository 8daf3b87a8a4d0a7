"""The trees that judge blocks can be fitted again from labelled pages, and what is written is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import extraction_fit
from llm_twin.collection.extraction.forest import Forest

MENU = "".join(f"<li><a href='/topic/{i}'>Topic number {i}</a></li>" for i in range(20))


def write_page(folder: Path, n: int, form: str) -> None:
    """A page of a site of its own, its label in one of the two forms."""
    texts = [
        f"Entry {n}.{i} is about the tide, and it took {i + n} of us to see what it said, after all." for i in range(9)
    ]
    head = f"<title>Entry {n}</title><link rel='canonical' href='https://site{n}.example/a'>"
    body = "".join(f"<p>{text}</p>" for text in texts)
    (folder / f"{n}").mkdir(parents=True)
    page = f"<html><head>{head}</head><body><ul class='nav'>{MENU}</ul><article>{body}</article></body></html>"
    (folder / f"{n}" / "source.html").write_text(page)
    expected = body if form == "html" else "\n\n".join(texts)
    (folder / f"{n}" / f"expected.{form}").write_text(expected)


def test_fitted_on_folders_judged_by_site_and_written_for_the_forest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("max_iter", 20), ("min_samples_leaf", 2)):
        monkeypatch.setitem(extraction_fit.PARAMETERS, name, small)
    for n in range(6):
        write_page(tmp_path / "pages", n, "html" if n % 2 else "txt")
    write_page(tmp_path / "unseen", 5, "html")
    weights = tmp_path / "weights.json"
    command = [str(tmp_path / "pages"), "--exclude", str(tmp_path / "unseen"), "--folds", "2", "--output", str(weights)]
    extraction_fit.main(command)
    said = json.loads(capsys.readouterr().out)
    assert said["pages"] == 5 and said["best_selection"] == 1.0  # the sixth is of a site that must stay unseen
    assert 0.9 <= said["ours"] <= 1.0

    pages = extraction_fit.read_pages([tmp_path / "pages"])
    model = extraction_fit.fit([page for page in pages if page.name != "5"])
    forest = Forest(weights)
    for page in pages:
        expected = model.predict_proba(extraction_fit.as_rows(page))[:, 1]
        assert np.allclose(forest.predict(page.evidence.columns), expected, atol=2e-3)

    with pytest.raises(SystemExit):
        extraction_fit.main([str(tmp_path / "unseen")])
    assert "too few sites" in capsys.readouterr().err
