"""`python -m e2e.demo.make_data --output DIR`: the demo's task, as a team would have it in its ticket system.

A ticket is routed to one of four teams. The rows are templates with fillings; the held-out rows have fillings that no
training row has, so that what is measured is the task and not a good memory.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.demo.exercises import Chat

LABELS = ("billing", "delivery", "technical", "account")
TRAIN_ROWS = 600
TEST_ROWS = 120

_TEMPLATES = {
    "billing": (
        "I was charged twice for the {item}.",
        "The invoice for my {item} has the wrong amount.",
        "When do I get the refund for the {item} from {day}?",
        "Please send me a receipt for the {item}, {name}.",
    ),
    "delivery": (
        "My {item} has not arrived since {day}.",
        "The parcel with the {item} was left at the wrong address.",
        "Where is the {item} that was shipped on {day}?",
        "The courier lost my {item}, says {name}.",
    ),
    "technical": (
        "The {item} does not start any more.",
        "My {item} shows an error since {day}.",
        "The screen of the {item} stays black, says {name}.",
        "After the update the {item} crashes every day.",
    ),
    "account": (
        "I cannot log in to see my {item}.",
        "Please change the email of {name} before {day}.",
        "I forgot my password after I bought the {item}.",
        "Close the profile of {name}, who bought the {item}.",
    ),
}
_ITEMS = {
    "train": (
        "lamp",
        "phone",
        "printer",
        "camera",
        "radio",
        "table",
        "router",
        "heater",
        "guitar",
        "watch",
        "bicycle",
        "toaster",
    ),
    "test": ("laptop", "kettle", "speaker", "mirror", "drill", "fridge"),
}
_NAMES = {
    "train": ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Grace", "Hugo"),
    "test": ("Irene", "Jonas", "Karin", "Louis"),
}
_DAYS = {"train": ("Monday", "Tuesday", "Thursday", "Friday", "Sunday"), "test": ("Wednesday", "Saturday")}


def rows(split: str, count: int, seed: int = 0) -> list[Chat]:
    """`count` chats of the split "train" or "test", the four labels equally often, in random order."""
    rng = random.Random(f"{split}{seed}")
    made = [_row(rng, split, LABELS[number % len(LABELS)]) for number in range(count)]
    rng.shuffle(made)
    return made


def _row(rng: random.Random, split: str, label: str) -> Chat:
    ticket = rng.choice(_TEMPLATES[label]).format(
        item=rng.choice(_ITEMS[split]), name=rng.choice(_NAMES[split]), day=rng.choice(_DAYS[split])
    )
    return [
        {"role": "user", "content": f"Which team takes this ticket? {ticket}"},
        {"role": "assistant", "content": label},
    ]


def make_data(folder: Path, *, train_rows: int = TRAIN_ROWS, test_rows: int = TEST_ROWS) -> tuple[Path, Path]:
    """Write train.jsonl and test.jsonl; returns their paths. OSError if the folder can't be written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "train.jsonl", folder / "test.jsonl")
    for path, split, count in zip(paths, ("train", "test"), (train_rows, test_rows), strict=True):
        path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows(split, count)), encoding="utf-8")
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo.make_data", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for train.jsonl and test.jsonl"
    )
    for path in make_data(parser.parse_args(arguments).output):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
