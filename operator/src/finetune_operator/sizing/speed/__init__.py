"""How long a run takes and what it costs. Pure."""

from finetune_operator.sizing.speed.cost import cost_usd, price_usd_per_hour, spot_seconds
from finetune_operator.sizing.speed.run import Estimate, estimate
from finetune_operator.sizing.speed.tokens import tokens_from_bytes

__all__ = ["Estimate", "cost_usd", "estimate", "price_usd_per_hour", "spot_seconds", "tokens_from_bytes"]
