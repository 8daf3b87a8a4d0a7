"""Personal data in text and code: found by format and checksum, masked, counted."""

from llm_twin.privacy.masking import Masked, find_pii, mask_pii

__all__ = ["Masked", "find_pii", "mask_pii"]
