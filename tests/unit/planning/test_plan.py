"""What a model needs on a machine, by arithmetic: no model is opened and nothing is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.cli.app import main
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.planning import roofline
from zeropoint.planning.estimate import forecast
from zeropoint.planning.plan import DEFAULT_CONTEXT, check_fits, choose_context, make_plan, read_bytes
from zeropoint.weights.gguf.reader import open_gguf

LLAMA_2_7B = Blueprint(
    family="llama",
    d_model=4096,
    n_vocab=32000,
    n_ctx=4096,
    blocks=(Block(Attention(32, 32, 128, Rope(10000.0, 128)), Gated(11008), RMSNorm(1e-5)),) * 32,
    final_norm=RMSNorm(1e-5),
    head=Head(is_tied=False),
)
WEIGHTS = 4_000_000_000


def plan_of(blueprint: Blueprint = LLAMA_2_7B, n_ctx: int = 4096, **options: object):  # type: ignore[no-untyped-def]
    settings = {"bandwidth": 40e9, "available_bytes": 16 * 10**9, **options}
    return make_plan(blueprint, WEIGHTS, n_ctx, **settings)  # type: ignore[arg-type]


def test_memory_is_weights_cache_and_work() -> None:
    plan = plan_of()
    assert plan.n_parameters == 6_738_415_616
    a_head = 128 * 2 + 4  # numbers of 16 bits and the step that they count
    assert plan.cache_bytes == 2 * 32 * 4096 * 32 * a_head
    assert plan.needed_bytes == WEIGHTS + plan.cache_bytes + plan.work_bytes
    assert 60_000_000 < plan.work_bytes < 200_000_000
    assert plan.fits
    assert plan_of(options=EngineOptions(exact=True)).cache_bytes == 2 * 32 * 4096 * 4096 * 4
    assert plan_of(n_ctx=1024).cache_bytes == plan.cache_bytes // 4
    assert plan_of(options=EngineOptions(window=1100)).cache_bytes == plan.cache_bytes // 4  # its whole pages


def test_speed_is_bandwidth_over_what_a_token_reads() -> None:
    plan = plan_of()
    embedding = WEIGHTS * 32000 * 4096 // 6_738_415_616
    assert plan.read_bytes == WEIGHTS - embedding
    assert plan.ceiling_tok_s == pytest.approx(40e9 / plan.read_bytes)
    assert 0.8 * plan.ceiling_tok_s < plan.expected_tok_s < plan.ceiling_tok_s
    assert plan_of(bandwidth=80e9).ceiling_tok_s == pytest.approx(2 * plan.ceiling_tok_s)


def test_codes_that_take_longer_to_work_out_than_to_read_are_slower() -> None:
    plan, slow = plan_of(), plan_of(read_bytes_s=10e9)
    assert plan_of(read_bytes_s=80e9).expected_tok_s == plan.ceiling_tok_s
    assert slow.ceiling_tok_s == plan.ceiling_tok_s
    assert slow.expected_tok_s < plan.expected_tok_s / 3


def test_weights_of_several_formats_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {("Q4_1", 2, False): (10e9, 5e9, 20e9), ("Q8_0", 2, False): (20e9, 10e9, 40e9)}
    monkeypatch.setattr(roofline._native, "measure_weights", lambda *asked: rates[asked])
    rate = roofline.weights_rate({"Q4_1": 10**9, "Q8_0": 2 * 10**9}, 2, False)
    assert (rate.bytes_s, rate.low, rate.high) == pytest.approx((15e9, 7.5e9, 30e9))


@pytest.mark.parametrize("is_exact", [False, True])
@pytest.mark.parametrize("form", ["Q4_1", "Q2_K", "F32"])
def test_products_with_weights_are_timed(form: str, is_exact: bool) -> None:
    rate = roofline.weights_rate({form: 1}, 1, is_exact)
    assert 0 < rate.low <= rate.bytes_s <= rate.high


def test_a_forecast_goes_by_the_slower_of_memory_and_products(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, int]] = []

    def products(n_bytes: dict[str, int], n_threads: int, is_exact: bool) -> roofline.Rate:
        asked.append(n_bytes)
        speed = 1e8 if is_exact else 18e9
        return roofline.Rate(speed, speed / 2, speed * 2)

    monkeypatch.setattr("zeropoint.planning.estimate.bandwidth_bytes_s", lambda n_threads: 20e9)
    monkeypatch.setattr("zeropoint.planning.plan._LAYER_S", 0)  # it is most of what a tiny model takes
    monkeypatch.setattr("zeropoint.planning.estimate.weights_rate", products)
    found = [forecast(str(tiny_path), EngineOptions(threads=1, exact=is_exact)) for is_exact in (False, True)]
    fast, exact = (each.plan for each in found)
    assert all(each.expected_low < each.plan.expected_tok_s < each.expected_high for each in found)
    assert fast.expected_tok_s < found[0].expected_high == fast.ceiling_tok_s  # products seemed faster
    assert exact.ceiling_tok_s == fast.ceiling_tok_s == pytest.approx(20e9 / fast.read_bytes)
    assert 1 / exact.expected_tok_s - 1 / fast.expected_tok_s == pytest.approx(
        fast.read_bytes / 0.95 * (1e-8 - 1 / 18e9)
    )
    tensors = open_gguf(tiny_path).tensors.values()
    assert set(asked[0]) <= {tensor.format for tensor in tensors}
    assert 0.9 * fast.weight_bytes < sum(asked[0].values()) <= fast.weight_bytes


@pytest.mark.parametrize(("low", "is_said"), [(0.95, False), (0.5, True)])
def test_a_machine_whose_speed_changes_is_said_to(
    low: float,
    is_said: bool,
    tiny_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rate = roofline.Rate(1e9, low * 1e9, 1e9)
    monkeypatch.setattr("zeropoint.planning.estimate.weights_rate", lambda *asked: rate)
    with pytest.raises(SystemExit):
        main(["plan", str(tiny_path)])
    assert ("as this machine's speed changed" in capsys.readouterr().out) is is_said


def test_a_tied_embedding_is_read_as_the_head() -> None:
    tied = dataclasses.replace(LLAMA_2_7B, head=Head(is_tied=True))
    assert read_bytes(tied, WEIGHTS) == WEIGHTS


def test_what_does_not_fit_is_told_with_both_numbers() -> None:
    plan = plan_of(available_bytes=3 * 10**9)
    assert not plan.fits
    with pytest.raises(
        OutOfMemory, match=r"^llama needs 6\.\d GB .* context of 4096 and 3\.0 GB is free; .*--context$"
    ):
        check_fits(plan, "llama")
    check_fits(plan_of(), "llama")
    unknown = plan_of(available_bytes=None)
    assert unknown.fits
    check_fits(unknown, "llama")


def test_the_context_is_the_models_own_up_to_a_limit() -> None:
    long = dataclasses.replace(LLAMA_2_7B, n_ctx=131072)
    assert choose_context(LLAMA_2_7B, None) == 4096
    assert choose_context(long, None) == DEFAULT_CONTEXT
    assert choose_context(long, 131072) == 131072
    assert choose_context(long, 1) == 1
    for wanted in (0, -1, 131073):
        with pytest.raises(BadInput, match=f"--context is {wanted}; this model takes 1 to 131072"):
            choose_context(long, wanted)


def test_memory_is_what_the_system_and_the_cgroup_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = roofline.available_memory_bytes()
    assert whole is None or whole > 0
    membership = tmp_path / "membership"
    monkeypatch.setattr(roofline, "_CGROUPS", tmp_path)
    monkeypatch.setattr(roofline, "_MEMBERSHIP", membership)
    system = roofline.available_memory_bytes()

    def limit(group: str, most: str, now: int, cached: int = 0, names: str = "max current") -> None:
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        files = [tmp_path / group / f"memory.{name}" for name in names.split()]
        files[0].write_text(f"{most}\n")
        files[1].write_text(f"{now}\n")
        (tmp_path / group / "memory.stat").write_text(
            f"anon 1\nactive_file {cached}\ninactive_file {cached}\n"
        )

    limit("", "5000000", 2_000_000)
    assert roofline.available_memory_bytes() == 3_000_000
    limit("", "5000000", 4_000_000, cached=500_000)
    assert roofline.available_memory_bytes() == 2_000_000
    limit("", "5000000", 9_000_000)
    assert roofline.available_memory_bytes() == 0
    limit("", "max", 9_000_000)
    assert roofline.available_memory_bytes() == pytest.approx(system, rel=0.5)
    # Of nested groups the tightest counts, wherever it stands; a path that is not there counts nothing.
    limit("user/session", "8000000", 1_000_000)
    limit("user", "4000000", 1_000_000)
    membership.write_text("4:memory:/old/group\n0::/user/session\n")
    assert roofline.available_memory_bytes() == 3_000_000
    membership.write_text("0::/elsewhere\n")
    assert roofline.available_memory_bytes() == pytest.approx(system, rel=0.5)
    limit("memory/old", "700000", 100_000, names="limit_in_bytes usage_in_bytes")
    membership.write_text("4:memory:/old/group\n0::/\n")
    assert roofline.available_memory_bytes() == 600_000


def test_the_bandwidth_of_this_machine_is_a_plausible_number() -> None:
    assert 1e8 < roofline.bandwidth_bytes_s(2) < 1e13
