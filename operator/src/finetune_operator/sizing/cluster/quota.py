"""What a Kueue ClusterQueue may ever use and what is left of it, flavour by flavour.

Kueue's arithmetic for one level of cohort: a queue keeps nominalQuota - lendingLimit to itself, the rest is in the
cohort's pool, and borrowingLimit bounds what it takes beyond its own (Kueue's documentation of ClusterQueue, under
Cohort, BorrowingLimit and LendingLimit; and of Cohort for a cohort's own quota). Of nested cohorts only the queue's own
level is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finetune_operator.sizing.quantity import amount

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one resource in one flavour."""

    nominal: Decimal
    """The queue's own."""
    ceiling: Decimal
    """With all that it may borrow when nobody else uses any."""
    free: Decimal
    """What it could still take now, its own and borrowed."""

    def __str__(self) -> str:
        borrowed = self.ceiling - self.nominal
        return f"nominal quota {self.nominal:f}" + (f", at most {borrowed:f} borrowed" if borrowed > 0 else "")


def quota(queue: Object, peers: Sequence[Object], *, flavor: str, resource: str, pool: Decimal = Decimal()) -> Quota:
    """The quota of `queue`. `peers`: the other queues of its cohort; `pool`: what the cohort has of its own."""
    own = _Held.of(queue, flavor, resource)
    if not cohort_of(queue):
        return Quota(own.nominal, own.nominal, max(Decimal(), own.nominal - own.used))
    all_of_them = [own, *(_Held.of(peer, flavor, resource) for peer in peers)]
    lent = sum((each.lendable for each in all_of_them), pool)
    left = lent - sum((max(Decimal(), each.used - each.kept) for each in all_of_them), Decimal())
    ceiling, free = own.kept + lent, max(Decimal(), own.kept - own.used) + max(Decimal(), left)
    if own.borrowing_limit is not None:
        most = own.nominal + own.borrowing_limit
        ceiling, free = min(ceiling, most), min(free, max(Decimal(), most - own.used))
    return Quota(own.nominal, ceiling, free)


def cohort_of(queue: Object) -> str | None:
    """Name of its cohort: cohortName in v1beta2, cohort in v1beta1."""
    spec = queue["spec"]
    return spec.get("cohortName") or spec.get("cohort") or None


def peers_of(queue: Object, queues: Iterable[Object]) -> list[Object]:
    """The other queues of the same cohort that take part in it: one that is stopped lends nothing."""
    cohort, name = cohort_of(queue), queue["metadata"]["name"]
    return [
        other
        for other in queues
        if cohort is not None
        and cohort_of(other) == cohort
        and other["metadata"]["name"] != name
        and not stopped(other)
    ]


def pool_of(queue: Object, cohorts: Iterable[Object], *, flavor: str, resource: str) -> Decimal:
    """What the Cohort object of the queue's cohort, if there is one, adds for all of its queues."""
    cohort = cohort_of(queue)
    return sum(
        (_Held.of(each, flavor, resource).nominal for each in cohorts if each["metadata"]["name"] == cohort), Decimal()
    )


def stopped(queue: Object) -> str | None:
    """Why a ClusterQueue or LocalQueue admits nothing; None: it does."""
    policy = queue.get("spec", {}).get("stopPolicy")
    if policy not in (None, "None"):
        return f"stopPolicy is {policy}"
    for condition in queue.get("status", {}).get("conditions") or ():
        if condition["type"] == "Active" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason") or "it is not active")
    return None


def groups(queue: Object) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Of each resource group: names of its resources, and of its flavours in the order in which Kueue tries them."""
    for group in queue["spec"].get("resourceGroups") or ():
        yield group["coveredResources"], [flavor["name"] for flavor in group["flavors"]]


@dataclass(frozen=True, slots=True)
class _Held:
    """What one queue has and uses."""

    nominal: Decimal
    lendable: Decimal
    borrowing_limit: Decimal | None
    used: Decimal

    @property
    def kept(self) -> Decimal:
        """Lent to nobody."""
        return self.nominal - self.lendable

    @classmethod
    def of(cls, queue: Object, flavor: str, resource: str) -> _Held:
        for each in _named(
            flavor, (each for group in queue["spec"].get("resourceGroups") or () for each in group["flavors"])
        ):
            for row in _named(resource, each["resources"]):
                nominal, lending = amount(row["nominalQuota"]), row.get("lendingLimit")
                borrowing = row.get("borrowingLimit")
                return cls(
                    nominal,
                    nominal if lending is None else min(nominal, amount(lending)),
                    None if borrowing is None else amount(borrowing),
                    _used(queue, flavor, resource),
                )
        return cls(Decimal(), Decimal(), None, Decimal())


def _used(queue: Object, flavor: str, resource: str) -> Decimal:
    # reserved: admitted, or about to be when its admission checks are through
    reserved = queue.get("status", {}).get("flavorsReservation") or ()
    return sum(
        (
            amount(row.get("total", 0))
            for each in _named(flavor, reserved)
            for row in _named(resource, each["resources"])
        ),
        Decimal(),
    )


def _named(name: str, rows: Iterable[Object]) -> Iterator[Object]:
    return (row for row in rows if row["name"] == name)
