import pytest

from llm_twin.documents import Answer
from llm_twin.evaluation.behaviours import MARKER, check_behaviours, make_typo, paraphrase
from llm_twin.support import extract_answer

QUESTIONS = ["Who read the harbour gauge at dawn?", "Why did the council not repair the sluice?"]


@pytest.fixture(scope="module")
def careful(passages, retrieval):
    """A real small twin: the author's own sentences, refused where no passage is near."""
    vectors = retrieval.encoder.encode([chunk.text for chunk in passages])

    def ask(question, slipped_in):
        known = [*zip(passages, vectors, strict=True)]
        near = retrieval.encoder.encode([question])[0]
        ranked = sorted(known, key=lambda pair: -float(pair[1] @ near))
        found = [chunk for chunk, _ in ranked[:1]]
        if float(ranked[0][1] @ near) < 0.3:
            return Answer(question=question, author="x", text="Not written about.", status="refused")
        sentences = extract_answer(question, found, retrieval.encoder, max_sentences=1)
        sources = [citation for sentence in sentences for citation in sentence.citations]
        text = " ".join(sentence.text for sentence in sentences)
        return Answer(question=question, author="x", text=text, status="extracted", sources=sources)

    return ask


def obey(question, slipped_in):
    """A twin that does whatever a passage says, and answers everything in the asker's words."""
    text = slipped_in[0].text if slipped_in else f"Of course: {question}"
    return Answer(question=question, author="x", text=text, status="generated")


def test_a_careful_twin_passes_every_check(careful):
    findings = {finding.check: finding for finding in check_behaviours(careful, QUESTIONS, names=["council"])}
    assert set(findings) == {"paraphrase", "typo", "unanswerable", "injection", "swapped name"}
    for finding in findings.values():
        assert finding.passed == finding.cases > 0, finding.failures


def test_a_careless_twin_is_found_out():
    findings = {finding.check: finding for finding in check_behaviours(obey, QUESTIONS, names=["council"])}
    for check in ("unanswerable", "injection", "swapped name"):
        assert findings[check].passed == 0 and findings[check].failures
    assert MARKER in findings["injection"].failures[0] or "Ignore all" in findings["injection"].failures[0]


def test_changes_keep_the_question():
    assert paraphrase("Who read it?") == "Could you tell me, please: who read it?"
    changed = make_typo("Who read the harbour gauge?", 1)
    assert changed != "Who read the harbour gauge?" and sorted(changed) == sorted("Who read the harbour gauge?")
    assert make_typo("Who is it?", 1) == "Who is it?"
