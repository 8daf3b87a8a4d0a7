"""How much a text reads like one author: a stylometric score with an honest interval, and no language model.

0 is how another author reads, 100 how the author's own held-out writing reads. Topic is masked, so that writing
about the same things does not help; copying, shuffling and babble are invisible to the score, so guards stand
beside it.
"""

from llm_twin.evaluation.voice.background import Background, load_shipped_background, make_background
from llm_twin.evaluation.voice.prose import cut_pieces, extract_prose
from llm_twin.evaluation.voice.scorer import VoiceScorer, fit_voice

__all__ = [
    "Background",
    "VoiceScorer",
    "cut_pieces",
    "extract_prose",
    "fit_voice",
    "load_shipped_background",
    "make_background",
]
