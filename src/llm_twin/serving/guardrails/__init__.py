"""Guards on what comes in, what was retrieved and what goes out; each switchable, each timed."""

from llm_twin.serving.guardrails.guards import Ground, Guards, Verdict
from llm_twin.serving.guardrails.injection import InjectionDetector

__all__ = ["Ground", "Guards", "InjectionDetector", "Verdict"]
