"""The whole decision about a job, pure: one file per policy."""

from finetune_operator.reconcile.decision import reconcile

__all__ = ["reconcile"]
