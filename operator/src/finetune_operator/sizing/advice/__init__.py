"""What may be worth changing in a job, each rule with its reason. Never a refusal. Pure."""

from finetune_operator.sizing.advice.case import Case
from finetune_operator.sizing.advice.rules import RULES, Rule, advise

__all__ = ["RULES", "Case", "Rule", "advise"]
