"""Guided generation: every answer fits its guide, and equals sampling with all other tokens excluded."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import Guide, Model
from zeropoint.decoding.guidance.check import check_guide
from zeropoint.decoding.guidance.guided import Guided
from zeropoint.engine.session.typed import schema_of, value_of
from zeropoint.errors import BadInput, MachineError

pytest.importorskip("llguidance")
pytestmark = pytest.mark.model

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["Ada", "Grace"]},
        "born": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "born"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("guided") / "tiny.gguf"
    write_tiny_model(path, Tiny(n_ctx=512))
    with zeropoint.load(path, threads=1) as model:
        yield model


@pytest.mark.parametrize("seed", range(4))
def test_json_follows_its_schema(model: Model, seed: int) -> None:
    guide = Guide.json_schema(SCHEMA)
    answer = model.chat("who?", guide=guide, seed=seed, temperature=1.5, max_tokens=100)
    value = json.loads(answer.text())
    assert value["name"] in ("Ada", "Grace")
    assert 0 <= value["born"] <= 99
    assert answer.finish_reason == "stop"


def test_text_matches_a_regex_a_grammar_and_choices(model: Model) -> None:
    def write(guide: Guide) -> str:
        return model.generate("x", guide=guide, seed=1, temperature=1.0, max_tokens=60).text()

    assert re.fullmatch(r"[0-9]{4}-[a-c]+z", write(Guide.regex(r"[0-9]{4}-[a-c]+z")))
    assert write(Guide.choices(["yes", "no", "perhaps"])) in ("yes", "no", "perhaps")
    assert re.fullmatch(r"(ab){1,3}!", write(Guide.lark('start: item~1..3 "!"\nitem: "ab"')))


def test_the_answer_is_that_of_excluding_all_other_tokens(model: Model) -> None:
    """Token by token over a stepper, with the mask that llguidance gives after each."""
    guide = Guide.regex(r"[a-f]{3}(xyz)+[0-9]{2}")
    prompt = model.tokenize("hello")
    stepper, method = model.stepper(), Guided(model.guide_tokenizer, guide)
    logits, expected = stepper.extend(prompt)[-1], []
    for _ in range(40):
        forced, masks = method.before_step(0)
        mask = masks[0]
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
        token = int(np.argmax(np.where(bits, logits, -np.inf)))
        assert not forced or token == forced[0]
        if token in model.tokenizer.stop_ids:
            break
        expected.append(token)
        method.after_step([token], 0, 0.0)
        logits = stepper.extend([token])[-1]
    stream = model.generate(prompt, guide=guide, temperature=0, max_tokens=40)
    stream.text()
    assert stream.token_ids == expected


def test_forced_tokens_cost_no_step_of_their_own(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    step = model.engine.step
    monkeypatch.setattr(model.engine, "step", lambda: steps.append(1) or step())
    text = "all of this is certain"
    stream = model.generate("x", guide=Guide.choices([text]), max_tokens=60)
    assert stream.text() == text
    assert len(steps) <= 3  # the first token comes with the prompt, the others together


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Part:
    size: Literal["small", "large"]
    colour: Colour


@dataclasses.dataclass
class Thing:
    parts: list[Part]
    is_new: bool
    note: None


def test_an_answer_is_a_value_of_a_type(model: Model) -> None:
    part = model.generate_as(Part, "describe it", seed=2, temperature=1.0, max_tokens=100)
    assert part.size in ("small", "large")
    assert isinstance(part.colour, Colour)
    text = '{"parts": [{"size": "small", "colour": "red"}], "is_new": true, "note": null}'
    assert value_of(Thing, text) == Thing([Part("small", Colour.RED)], True, None)
    assert schema_of(Thing)["properties"]["parts"]["items"]["required"] == ["size", "colour"]
    with pytest.raises(MachineError, match="cut off"):
        value_of(Thing, text[:20])
    with pytest.raises(BadInput, match="complex is not a type"):
        schema_of(complex)


def test_an_answer_that_reaches_max_tokens_is_cut_off(model: Model) -> None:
    stream = model.generate("x", guide=Guide.regex("[a-z]{200}"), max_tokens=5)
    stream.text()
    assert stream.finish_reason == "length"


CHAIN = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(1000)}


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Guide.json_schema({"$ref": "#/$defs/d0", "$defs": CHAIN | {"d1000": {}}}),
            "refer to others",
        ),
        (lambda: Guide.json_schema(nested(100)), "nested deeper than 64"),
        (lambda: Guide.json_schema('{"a": 1, "a": 2}'), 'the key "a" twice'),
        (lambda: Guide.json_schema("{" * 5), "is not JSON"),
        (lambda: Guide.json_schema('{"enum":' + "[" * 5000 + "]" * 5000 + "}"), "nested deeper"),
        (lambda: Guide.json_schema([]), "must be an object"),
        (lambda: Guide.choices([]), "choices must be"),
        (lambda: Guide.regex(""), "0 characters"),
        (lambda: check_guide(Guide.regex("a(")), "the regular expression is invalid"),
        (lambda: check_guide(Guide.lark("start: nothing")), "the grammar is invalid"),
        (lambda: check_guide(Guide.json_schema({"type": "cat"})), "the JSON Schema is invalid"),
    ],
)
def test_hostile_guides_are_refused_in_a_sentence(make, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_guide_that_crashes_or_exhausts_the_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.decoding.guidance import check

    monkeypatch.setattr(check, "_PROGRAM", "import os; os.abort()")
    with pytest.raises(BadInput, match="too complex to compile"):
        check_guide(Guide.regex("crash"))
    monkeypatch.setattr(check, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(check, "_SECONDS", 0.1)
    with pytest.raises(BadInput, match="to compile; make it simpler"):
        check_guide(Guide.regex("slow"))
