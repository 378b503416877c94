"""`--assume`: what another engine than ours does, so that its measurements can be put to the memory model."""

from __future__ import annotations

import difflib

from pydantic import ValidationError

from finetune_api.schema import wire_name
from finetune_operator.sizing.setup import Engine


class AssumeError(ValueError):
    """An assumption that means nothing; the text says which, and what there is."""


def engine(text: str) -> Engine:
    """From lossKernel=eager,adapterPrecision=bf16 and the like.

    Raises:
        AssumeError: a name or a value that there is not.
    """
    names = [wire_name(name) for name in Engine.model_fields]
    given: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, separator, value = (each.strip() for each in part.partition("="))
        if not (name and separator):
            raise AssumeError(f"--assume {part}: must be NAME=VALUE; there are {', '.join(names)}")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise AssumeError(f"--assume {name}: is not known; {hint}")
        if name in given:
            raise AssumeError(f"--assume {name}: is given twice")
        given[name] = value
    try:
        return Engine.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first["msg"].replace("Input should be", "must be")
        raise AssumeError(f"--assume {'.'.join(map(str, first['loc']))}: {cause}") from None
