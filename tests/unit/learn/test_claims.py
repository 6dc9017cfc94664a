"""Every claim holds, or is known not to and says why; and what is printed of them."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.learn.claim import Claim, Outcome
from zeropoint.learn.verify import all_claims, chosen, run

CLAIMS = all_claims()


def claim(**changed: Any) -> Claim:
    fields = {"number": "1", "about": "x", "published": 1.0, "source": "s", "explained_by": "e"}
    return Claim(**{"compute": lambda: 1.0, **fields, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number", [pytest.param(c.number, marks=pytest.mark.slow if c.is_slow else ()) for c in CLAIMS]
)
def test_a_claim_holds_or_says_why_not(number: str) -> None:
    (outcome,) = run(chosen([number]))
    if outcome.claim.known_to_fail:
        assert outcome.verdict == "does not hold"
        assert outcome.claim.reason
    else:
        assert outcome.verdict == "holds", (outcome.ours, outcome.problem)


def test_every_claim_has_a_number_of_its_own_a_source_and_an_explanation() -> None:
    assert len({c.number for c in CLAIMS}) == len(CLAIMS)
    assert all(c.source and c.explained_by and c.about for c in CLAIMS)
    assert [c.order for c in CLAIMS] == sorted(c.order for c in CLAIMS)


def test_all_binding_numbers_that_need_no_later_part_are_there() -> None:
    assert {c.order[0] for c in CLAIMS} >= {*range(1, 21), 21, 24}


def test_every_explanation_names_a_module_or_command_that_there_is() -> None:
    import importlib.util

    from zeropoint import registry

    for c in CLAIMS:
        words = c.explained_by.split()
        if words[0] == "zeropoint":
            assert words[1] in registry.names("zeropoint.cli.commands"), c
        else:
            assert importlib.util.find_spec(words[-1]) is not None, c


@pytest.mark.parametrize(
    ("ours", "verdict"), [(1.0, "holds"), (1.05, "holds"), (1.2, "differs"), ((1.0, 1.0), "differs")]
)
def test_verdicts(ours: Any, verdict: str) -> None:
    assert Outcome(claim(tolerance=0.1), ours, 0.0).verdict == verdict


def test_a_known_failure_is_said_to_be_one_and_nan_never_holds() -> None:
    assert Outcome(claim(known_to_fail=True), 2.0, 0.0).verdict == "does not hold"
    assert Outcome(claim(tolerance=9.0), float("nan"), 0.0).verdict == "differs"


def test_an_error_is_an_outcome() -> None:
    def fail() -> float:
        raise BadModelFile("no such data")

    (outcome,) = run([claim(compute=fail)])
    assert (outcome.verdict, outcome.problem, outcome.ours) == ("failed", "no such data", None)


def test_choosing_by_row_letter_and_speed() -> None:
    assert [c.number for c in chosen(["16"])] == ["16"]
    assert [c.number for c in chosen(["20"])] == ["20a", "20b"]
    assert [c.number for c in chosen(["20b"])] == ["20b"]
    assert all(not c.is_slow for c in chosen([]))
    with pytest.raises(BadInput, match="unknown claim `99`"):
        chosen(["99"])


def test_without_torch_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *args: Any, **named: Any) -> Any:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(BadInput, match=r"pip install 'zeropoint\[train\]'"):
        all_claims()
