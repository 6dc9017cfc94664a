"""Function calls with and without a guide, on data of the Berkeley Function Calling Leaderboard (BFCL).

Each question is answered twice: freely, and guided by the grammar of the model's call format. A call counts
as parseable if the format reads it, as valid if its name and arguments fit the offered schemas, and as right
if the leaderboard's answer accepts it.

    pip download --no-deps bfcl-eval && unzip bfcl_eval-*.whl -d bfcl
    python benches/function_calls.py bfcl/bfcl_eval/data --questions 100
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

import zeropoint
from zeropoint.tokenizers.chat.reply.call_grammars import quoted
from zeropoint.tokenizers.chat.reply.calls import Call, schemas_of
from zeropoint.tokenizers.chat.reply.tool_formats.hermes import HermesFormat

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_SYSTEM = """You answer by calling a function. These are the functions, as JSON:
{tools}
Answer with one call and nothing else, in this form:
<tool_call>
{{"name": "function name", "arguments": {{"argument": "value"}}}}
</tool_call>"""


def main() -> None:
    """Print a line for each category and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="the folder with BFCL_v4_simple_python.json")
    parser.add_argument("--model", default="smollm2:135m")
    parser.add_argument("--questions", type=int, default=100, help="of each category")
    parser.add_argument("--tokens", type=int, default=200, help="of an answer, at most")
    options = parser.parse_args()
    with zeropoint.load(options.model) as model:
        for category in ("simple_python", "multiple"):
            cases = list(read_cases(options.data, category))[: options.questions]
            for is_guided in (False, True):
                streams = [ask(model, case, options.tokens, is_guided) for case in cases]
                answers = [stream.text() for stream in streams]
                n_cut = sum(stream.finish_reason == "length" for stream in streams)
                report(category, is_guided, cases, answers, n_cut)


def ask(model: zeropoint.Model, case: Mapping[str, Any], max_tokens: int, is_guided: bool) -> Any:
    """The answer to one question; all of them advance together."""
    guide = None
    if is_guided:
        grammar = HermesFormat().call_grammar(case["tools"], quoted)
        guide = zeropoint.Guide.lark(grammar or "")
    # A small model repeats itself without end inside a string, which no schema forbids.
    options = {"temperature": 0, "dry_multiplier": 0.8, "max_tokens": max_tokens}
    return model.chat(case["messages"], guide=guide, **options)


def read_cases(folder: Path, category: str) -> Iterator[dict[str, Any]]:
    """Questions with their tools in OpenAI's form, and the accepted answers."""
    name = f"BFCL_v4_{category}.json"
    answers = {
        row["id"]: row["ground_truth"] for row in map(json.loads, (folder / "possible_answer" / name).open())
    }
    for row in map(json.loads, (folder / name).open()):
        tools = [
            {"type": "function", "function": {**f, "parameters": schema(f["parameters"])}}
            for f in row["function"]
        ]
        listed = "\n".join(json.dumps(tool["function"]) for tool in tools)
        system = {"role": "system", "content": _SYSTEM.format(tools=listed)}
        yield {"messages": [system, *row["question"][0]], "tools": tools, "answers": answers[row["id"]]}


def schema(parameters: Any) -> Any:
    """BFCL's names of types as JSON Schema's."""
    if isinstance(parameters, list):
        return [schema(item) for item in parameters]
    if not isinstance(parameters, dict):
        return parameters
    found = {key: schema(value) for key, value in parameters.items()}
    if isinstance(found.get("type"), str):
        found["type"] = _TYPES.get(found["type"], found["type"])
    return found


def report(
    category: str, is_guided: bool, cases: Sequence[Mapping[str, Any]], answers: Sequence[str], n_cut: int
) -> None:
    """Count what the answers are. n_cut: how many reached the limit of tokens."""
    n_parsed = n_valid = n_right = 0
    for case, answer in zip(cases, answers, strict=True):
        call = parsed(answer, case["tools"])
        n_parsed += call is not None
        is_valid = call is not None and fits(call, case["tools"])
        n_valid += is_valid
        n_right += call is not None and is_valid and is_right(call, case["answers"])
    n = len(cases)
    way = "guided" if is_guided else "free"
    print(
        f"{category}  {way}  questions {n}  parseable {n_parsed / n:.0%}  valid {n_valid / n:.0%}  "
        f"right {n_right / n:.0%}  cut off {n_cut / n:.0%}",
        flush=True,
    )


def parsed(answer: str, tools: Sequence[Mapping[str, Any]]) -> Call | None:
    """The call of an answer; None if there is none."""
    _, opened, body = answer.partition("<tool_call>")
    try:
        return (
            HermesFormat().parse(body.partition("</tool_call>")[0], schemas_of(tools))[0] if opened else None
        )
    except ValueError:
        return None


def fits(call: Call, tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a tool of that name takes these arguments."""
    for tool in tools:
        if tool["function"]["name"] == call.name:
            try:
                jsonschema.validate(json.loads(call.arguments), tool["function"]["parameters"])
            except jsonschema.ValidationError:
                return False
            return True
    return False


def is_right(call: Call, accepted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an accepted answer has this name and these values; "" among the values: may be left out."""
    given = json.loads(call.arguments)
    for answer in accepted:
        (name, values), *_ = answer.items()
        names_match = name == call.name and set(given) <= set(values)
        if names_match and all(
            given[key] in options if key in given else "" in options for key, options in values.items()
        ):
            return True
    return False


if __name__ == "__main__":
    main()
