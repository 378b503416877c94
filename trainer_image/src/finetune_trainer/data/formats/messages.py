"""messages: a list of turns with role and content, as chat APIs have it; tools and tool calls are handed on."""

from __future__ import annotations

import json
from typing import Any

from finetune_trainer.data.example import Chat, Example
from finetune_trainer.data.formats.shape import Format, Wanted
from finetune_trainer.data.row import EmptyResponseError, Row, described, listed

ROLES = ("system", "user", "assistant", "tool")


def convert(row: Row, wanted: Wanted) -> Example:
    """The conversation up to its last assistant turn: what follows that has no answer to learn from."""
    return chat_of(row, turns(row, "messages"), wanted)


def chat_of(row: Row, messages: list[dict[str, Any]], wanted: Wanted) -> Chat:
    """`messages` as an example. Raises EmptyResponseError where an assistant turn is empty or there is none."""
    spoken = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if not spoken:
        raise EmptyResponseError("has no assistant turn")
    for place in spoken:
        message = messages[place]
        if not message["content"].strip() and not message.get("tool_calls"):
            raise EmptyResponseError(f"message {place + 1}, of the assistant, is empty")
    if wanted.train_on != "all":
        messages = messages[: spoken[-1] + 1]
    if not wanted.chat:
        raise row.refusal(
            "NoChatTemplate",
            "is a conversation, but the model has no chat template to write it with; use the model's instruct variant, "
            "or data in the format promptCompletion, alpaca or text",
        )
    return Chat(messages, _tools(row))


def turns(row: Row, column: str) -> list[dict[str, Any]]:
    """The turns in `column`, checked: role known, content text. Raises BAD_DATA."""
    if column not in row.fields:
        raise row.refusal("ColumnMissing", f'has no "{column}"; it has {listed(row.fields)}')
    messages = row.fields[column]
    if not isinstance(messages, list):
        raise row.refusal("WrongType", f'"{column}" is {described(messages)}, not a list of turns')
    if not messages:
        raise EmptyResponseError(f'"{column}" is an empty list')
    return [_turn(row, message, place) for place, message in enumerate(messages, start=1)]


def _turn(row: Row, message: object, place: int) -> dict[str, Any]:
    what = f"message {place}"
    if not isinstance(message, dict):
        raise row.refusal("WrongType", f'{what} is {described(message)}, not an object with "role" and "content"')
    if "role" not in message:
        hint = '; it has "from" and "value" (ShareGPT): rename them' if "from" in message else ""
        raise row.refusal("RoleMissing", f'{what} has no "role"{hint or f"; it has {listed(message)}"}')
    role = message["role"]
    if role not in ROLES:
        raise row.refusal("UnknownRole", f'{what} has the role "{role}"; roles are {", ".join(ROLES)}')
    # Parquet gives every turn the keys of all turns, null where it had none
    turn = {key: value for key, value in message.items() if value is not None}
    turn["content"] = _content(row, turn.get("content"), what, calls=bool(turn.get("tool_calls")), role=role)
    return turn


def _content(row: Row, content: object, what: str, *, calls: bool, role: str) -> str:
    if content is None and (calls or role == "assistant"):
        return ""
    if isinstance(content, list):
        return "".join(_part(row, part, f"{what}, part {number}") for number, part in enumerate(content, start=1))
    return row.checked(content, f'{what}: "content"')


def _part(row: Row, part: object, what: str) -> str:
    if isinstance(part, str):
        return row.checked(part, what)
    if not isinstance(part, dict) or part.get("type", "text") != "text":
        kind = part.get("type") if isinstance(part, dict) else described(part)
        raise row.refusal("NotText", f"{what} is {kind}; only text can be trained on")
    return row.checked(part.get("text"), f'{what}: "text"')


def _tools(row: Row) -> list[dict[str, Any]] | None:
    tools = row.fields.get("tools")
    if isinstance(tools, str):  # a column of schemas that differ is kept as JSON text in Parquet
        try:
            tools = json.loads(tools) if tools.strip() else None
        except ValueError as error:
            raise row.refusal("WrongType", f'"tools" is no JSON: {error}') from None
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise row.refusal("WrongType", f'"tools" is {described(tools)}, not a list of JSON schemas')
    return tools


MESSAGES = Format("messages", ("messages",), convert)
