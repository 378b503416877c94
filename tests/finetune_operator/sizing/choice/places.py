"""Clusters in a line: {"Small": [4], "Large": [(8, 2)]} is a node of 4 Small, and one of 8 Large, 2 of them free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from finetune_operator.sizing.choice.choose import choose
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.option import Choice
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Appears, Offer, Place, Share
from finetune_operator.sizing.cluster.offers import Available
from tests.finetune_operator.sizing.choice.plain import PLAIN, TABLE

Nodes = Sequence[int | tuple[int, int]]


def cluster(
    nodes: Mapping[str, Nodes],
    *,
    appears: Mapping[str, Appears] | None = None,
    shares: Mapping[str, Share] | None = None,
) -> Available:
    """What there is of each kind."""
    offers = []
    for name in dict.fromkeys([*nodes, *(appears or {})]):
        places = []
        for number, node in enumerate(nodes.get(name, ()), start=1):
            total, free = node if isinstance(node, tuple) else (node, node)
            places.append(Place(f"{name.lower()}-{number}", total, free))
        offers.append(Offer(TABLE.row(name), tuple(places), (appears or {}).get(name), (shares or {}).get(name)))
    return Available(tuple(offers))


ALL = cluster({"Small": [8], "Medium": [8], "Large": [8]})


def chosen(asked: Request, there: Available) -> Choice:
    """By the plain figures."""
    return choose(asked, there, TABLE, PLAIN)


def refused(asked: Request, there: Available) -> str:
    """Why it is."""
    with pytest.raises(SizingError) as error:
        chosen(asked, there)
    return str(error.value)
