"""Every published number holds, or is a known exception with a reason."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.learn.claims.claim import Claim, ClaimResult
from zeropoint.learn.claims.verify import all_claims, select_claims, verify

CLAIMS = all_claims()


def claim(**overrides: Any) -> Claim:
    fields = {"number": "1", "description": "x", "published": 1.0, "source": "s", "explained_by": "e"}
    return Claim(**{"compute": lambda: 1.0, **fields, **overrides})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number", [pytest.param(c.number, marks=pytest.mark.slow if c.is_slow else ()) for c in CLAIMS]
)
def test_a_claim_holds_or_gives_a_reason(number: str) -> None:
    (result,) = verify(select_claims([number]))
    if result.claim.known_to_fail:
        assert result.verdict == "does not hold"
        assert result.claim.reason
    else:
        assert result.verdict == "holds", (result.ours, result.problem)


def test_every_claim_has_a_unique_number_a_source_and_an_explanation() -> None:
    assert len({c.number for c in CLAIMS}) == len(CLAIMS)
    assert all(c.source and c.explained_by and c.description for c in CLAIMS)
    assert [c.order for c in CLAIMS] == sorted(c.order for c in CLAIMS)


def test_claims_1_to_21_and_24_exist() -> None:
    assert {c.order[0] for c in CLAIMS} >= {*range(1, 22), 24}


def test_every_explanation_names_an_existing_module_or_command() -> None:
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
    assert ClaimResult(claim(tolerance=0.1), ours, 0.0).verdict == verdict


def test_a_known_exception_has_its_own_verdict_and_nan_never_holds() -> None:
    assert ClaimResult(claim(known_to_fail=True), 2.0, 0.0).verdict == "does not hold"
    assert ClaimResult(claim(tolerance=9.0), float("nan"), 0.0).verdict == "differs"


def test_an_error_becomes_a_failed_result() -> None:
    def fail() -> float:
        raise BadModelFile("no such data")

    (result,) = verify([claim(compute=fail)])
    assert (result.verdict, result.problem, result.ours) == ("failed", "no such data", None)


def test_claims_are_selected_by_number_letter_and_cost() -> None:
    assert [c.number for c in select_claims(["16"])] == ["16"]
    assert [c.number for c in select_claims(["20"])] == ["20a", "20b"]
    assert [c.number for c in select_claims(["20b"])] == ["20b"]
    assert all(not c.is_slow for c in select_claims([]))
    with pytest.raises(BadInput, match="unknown claim `99`"):
        select_claims(["99"])


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(BadInput, match=r"pip install torch"):
        all_claims()
