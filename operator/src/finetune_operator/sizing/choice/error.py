"""Why a job cannot be sized."""

from __future__ import annotations


class SizingError(ValueError):
    """Nothing fits; the text says which field, why, and what would."""


class UnknownKindError(SizingError):
    """The job names an accelerator that the hardware table lacks: no size of cluster would help."""
