"""Is a sentence supported by the author's own text, and where; and the author's own sentences as an answer.

No language model is asked: what a sentence says is compared with what the sources say, by their words, their
numbers and names, their negations and their vectors.
"""

from llm_twin.support.check import check_support
from llm_twin.support.extract import extract_answer
from llm_twin.support.quotes import find_reported, recites
from llm_twin.support.sentences import Sentence, split_sentences
from llm_twin.support.telling import untell

__all__ = ["Sentence", "check_support", "extract_answer", "find_reported", "recites", "split_sentences", "untell"]
