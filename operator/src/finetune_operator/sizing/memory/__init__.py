"""The memory that one accelerator needs: one named term per function, in bytes. Pure."""

from finetune_operator.sizing.memory.peak import TERMS, USABLE, Prediction, predict

__all__ = ["TERMS", "USABLE", "Prediction", "predict"]
