"""Whether contexts are requests that the types of the APIs' own SDKs take. A file has a context a line, and is named after its format."""

import base64
import copy
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Union, get_args, get_type_hints

import anthropic.types
import botocore.session
import openai.types.chat
import openai.types.responses
from botocore.validate import ParamValidator
from google.genai import types as google
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict, is_typeddict


STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class Refused(Exception):
    """The SDK does not take the context."""


def adapter(kind):
    """Checks values of this type. A member that the type does not have is refused."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("anthropic.types", "openai.types")):
            for value in list(vars(module).values()):
                if is_typeddict(value):
                    value.__pydantic_config__ = STRICT
    return TypeAdapter(list[kind])


def without_answers(message):
    """The type of a message without the blocks of an answer, which the SDK takes, too, with any member."""
    hints = get_type_hints(message)
    texts, blocks = get_args(hints["content"])
    (block,) = get_args(blocks)
    blocks = Union[tuple(filter(is_typeddict, get_args(block) or [block]))]
    kind = TypedDict(message.__name__, {"role": hints["role"], "content": Union[texts, list[blocks]]})
    kind.__pydantic_config__ = STRICT
    return kind


def exhausted(value):
    """Iterables are checked when they are read."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (list, Iterator)) or type(value).__name__ in ("dict_values", "ValidatorIterator"):
        for element in value:
            exhausted(element)


def check(types, values):
    try:
        exhausted(types.validate_python(values))
    except ValidationError as error:
        raise Refused(str(error)) from error


CHAT = adapter(openai.types.chat.ChatCompletionMessageParam)
ITEMS = adapter(openai.types.responses.ResponseInputItemParam)
MESSAGES = adapter(Union[tuple(map(without_answers, get_args(anthropic.types.MessageParam)))])
SYSTEM = adapter(anthropic.types.TextBlockParam)
CONVERSE = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


def openai_takes(context):
    # DeepSeek, Kimi and GLM speak this API and want it back. OpenAI's types do not have it.
    messages = [{name: value for name, value in message.items() if name != "reasoning_content"} for message in context["messages"]]
    check(CHAT, messages)


def responses_takes(context):
    check(ITEMS, context["input"])


def anthropic_takes(context):
    check(MESSAGES, context["messages"])
    check(SYSTEM, context.get("system", []))


def gemini_takes(context):
    try:
        for content in [*context["contents"], context.get("systemInstruction", {"parts": []})]:
            google.Content.model_validate(content)
    except ValidationError as error:
        raise Refused(str(error)) from error


def decoded(value):
    """With bytes in place of base64, as the SDK has them."""
    if isinstance(value, dict):
        return {name: base64.b64decode(member, validate=True) if name == "bytes" else decoded(member) for name, member in value.items()}
    return [decoded(element) for element in value] if isinstance(value, list) else value


def converse_takes(context):
    request = {name: decoded(context[name]) for name in ("system", "messages") if name in context}
    report = ParamValidator().validate({"modelId": "any", **request}, CONVERSE)
    if report.has_errors():
        raise Refused(report.generate_report())


# For each format its check, the member that has the messages, and how a part is broken: a member that the API does not have.
FORMATS = {
    "openai": (openai_takes, "messages", "content"),
    "responses": (responses_takes, "input", "content"),
    "anthropic": (anthropic_takes, "messages", "content"),
    "gemini": (gemini_takes, "contents", "parts"),
    "converse": (converse_takes, "messages", "content"),
}


def broken(context, messages, parts, has_roles):
    """The context with defects, one each: in a message, and in each kind of part of it."""
    for at, message in enumerate(context[messages]):
        for name, value in (("unknown", 1), ("role", "nobody"), (parts, 7), (parts, [{"unknown": 1}])):
            # The types of Google and Amazon take any role.
            if name == "unknown" or name in message and (name != "role" or has_roles):
                defect = copy.deepcopy(context)
                defect[messages][at][name] = value
                yield defect
        for part in range(len(message[parts]) if isinstance(message.get(parts), list) else 0):
            defect = copy.deepcopy(context)
            defect[messages][at][parts][part]["unknown"] = 1
            yield defect


def main(directory):
    for name, (takes, messages, parts) in FORMATS.items():
        contexts = [json.loads(line) for line in (pathlib.Path(directory) / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for context in contexts:
            try:
                takes(context)
            except Refused as error:
                sys.exit(f"{name}: {error}\n{json.dumps(context, indent=2)}")
        # A check that takes everything would be none.
        defects = 0
        for context in contexts[:20]:
            for defect in broken(context, messages, parts, has_roles=name not in ("gemini", "converse")):
                try:
                    takes(defect)
                except (Refused, TypeError):
                    defects += 1
                else:
                    sys.exit(f"{name}: not noticed\n{json.dumps(defect, indent=2)}")
        assert len(contexts) > 100 and defects > 100, (name, len(contexts), defects)
        print(f"{name}: {len(contexts)} contexts are taken, {defects} defects are noticed")


main(sys.argv[1])
