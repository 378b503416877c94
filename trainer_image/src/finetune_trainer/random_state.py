"""The state of every source of random numbers that training draws from."""

from __future__ import annotations

import random
from typing import Any

import numpy
import torch


def taken() -> tuple[Any, ...]:
    """The state of Python's, numpy's, torch's and, where there is one, this process's GPU's numbers."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return random.getstate(), numpy.random.get_state(), torch.random.get_rng_state(), cuda


def restore(state: tuple[Any, ...]) -> None:
    """Go on drawing as from when `state` was taken."""
    python, arrays, cpu, cuda = state
    random.setstate(python)
    numpy.random.set_state(arrays)
    torch.random.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda)
