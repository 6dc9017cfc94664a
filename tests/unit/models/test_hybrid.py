"""Models that mix attention and recurrences: the cache, chunks, padding, packed documents and rollback."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.tiny_blueprints import TINY
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.check import check, problems
from zeropoint.blueprint.io import from_toml, to_toml
from zeropoint.blueprint.parts.ffn import ChannelMix
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet, Mamba2, Recurrence, Rwkv7, ShortConvolution
from zeropoint.blueprint.taps import tap_points
from zeropoint.blueprint.tensors import parameters
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.models.build import build
from zeropoint.models.trace import trace

LLAMA = TINY["llama"]
RECURRENCES: list[Recurrence] = [
    ShortConvolution(3),
    ShortConvolution(4, has_bias=True),
    Mamba2(n_heads=4, d_head=6, d_state=5),
    Mamba2(4, 6, 5, n_groups=2, d_kernel=3, has_convolution_bias=False, has_bias=True),
    GatedDeltaNet(2, 4, 8, 6),
    GatedDeltaNet(2, 4, 8, 6, d_kernel=2, has_tiled_heads=True),
    Rwkv7(d_head=8, decay_rank=5, rate_rank=4, value_rank=0, gate_rank=6),
]
IDS = torch.tensor([[5, 5, 7, 1, 5, 9, 30, 2, 11]])


def hybrid(recurrence: Recurrence) -> Blueprint:
    """A recurrence, attention and the recurrence again."""
    block = LLAMA.blocks[0]
    mixing = last = replace(block, attention=None, recurrence=recurrence)
    if isinstance(recurrence, Rwkv7):
        last = replace(mixing, recurrence=replace(recurrence, value_rank=3), ffn=ChannelMix(40))
    return replace(LLAMA, blocks=(mixing, block, last))


@pytest.fixture(params=RECURRENCES, ids=lambda spec: type(spec).__name__)
def blueprint(request: pytest.FixtureRequest) -> Blueprint:
    return hybrid(request.param)


def test_blueprint_round_trip_and_parameters(blueprint: Blueprint) -> None:
    check(blueprint)
    assert from_toml(to_toml(blueprint)) == blueprint
    module = build(blueprint)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == parameters(blueprint)


def test_taps_of_a_recurrence(blueprint: Blueprint) -> None:
    traced = trace(build(blueprint).eval(), IDS[0].tolist())
    points = tap_points(blueprint, IDS.shape[1])
    assert {name: tuple(t.shape) for name, t in traced.items()} == {n: p.shape for n, p in points.items()}


def test_chunks_continue_the_state(blueprint: Blueprint) -> None:
    model = build(blueprint).eval()
    cache = model.new_cache()
    parts = [model(IDS[:, a:b], cache) for a, b in ((0, 1), (1, 4), (4, 5), (5, 9))]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(IDS), atol=1e-5, rtol=1e-5)


def test_padding_leaves_the_state_alone(blueprint: Blueprint) -> None:
    model = build(blueprint).eval()
    short = IDS[:, :5]
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), short], dim=1)
    mask = torch.tensor([[0] * 4 + [1] * 5, [1] * 9])
    batch = torch.cat([padded, IDS])
    expected = [model(short), model(IDS)]
    cache = model.new_cache()
    cached = torch.cat(
        [model(batch[:, :6], cache, mask[:, :6]), model(batch[:, 6:], cache, mask[:, 6:])], dim=1
    )
    for logits in (model(batch, None, mask), cached):
        torch.testing.assert_close(logits[:1, 4:], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits[1:], expected[1], atol=1e-5, rtol=1e-5)


def test_packed_documents_start_with_an_empty_state(blueprint: Blueprint) -> None:
    model = build(blueprint).eval()
    document = torch.tensor([[0] * 4 + [1] * 5])
    packed = model(IDS, document_BT=document)
    torch.testing.assert_close(packed[:, 4:], model(IDS[:, 4:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n", range(10))
def test_rollback_reads_again_what_the_state_lost(blueprint: Blueprint, n: int) -> None:
    engine = TorchEngine(build(blueprint))
    stepper, plain = engine.stepper(), engine.stepper()
    for a, b in ((0, 3), (3, 4), (4, 9)):
        stepper.extend(IDS[0, a:b].tolist())
    stepper.rollback(n)
    assert stepper.n_tokens == 9 - n
    again = stepper.extend([8, 3])
    expected = plain.extend([*IDS[0, : 9 - n].tolist(), 8, 3])[-2:]
    torch.testing.assert_close(torch.tensor(again), torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_a_block_has_exactly_one_mixer() -> None:
    block: Block = LLAMA.blocks[0]
    for wrong in (replace(block, attention=None), replace(block, recurrence=ShortConvolution(3))):
        assert "set one of them" in "; ".join(problems(replace(LLAMA, blocks=(wrong,))))
    wide = hybrid(ShortConvolution(1))
    assert "blocks[0].recurrence.d_kernel is 1; expected 2 to 64" in "; ".join(problems(wide))


def test_a_channel_mix_needs_a_recurrence_and_the_first_time_mix_has_no_earlier_values() -> None:
    block = replace(LLAMA.blocks[0], ffn=ChannelMix(40))
    assert "blocks[0].ffn is ChannelMix; it needs a recurrence" in "; ".join(
        problems(replace(LLAMA, blocks=(block,)))
    )
    rwkv = hybrid(Rwkv7(d_head=8, decay_rank=5, rate_rank=4, value_rank=3, gate_rank=6))
    assert "recurrence.value_rank is 3; expected 0 in the first block" in "; ".join(problems(rwkv))
    wide = hybrid(Rwkv7(d_head=5, decay_rank=0, rate_rank=4, value_rank=0, gate_rank=6))
    found = "; ".join(problems(wide))
    assert "recurrence.d_head is 5; expected a divisor of d_model, 32" in found
    assert "recurrence.decay_rank is 0; expected 1 to 65536" in found
    groups = hybrid(Mamba2(n_heads=4, d_head=6, d_state=0, n_groups=3, d_kernel=1))
    found = "; ".join(problems(groups))
    assert "n_groups is 3; expected a divisor of n_heads, 4" in found
    assert "d_state is 0; expected 1 to 4096" in found
    assert "d_kernel is 1; expected 2 to 64" in found
