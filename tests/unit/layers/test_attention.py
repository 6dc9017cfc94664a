"""Scaled dot-product attention in both forms, and what the heads do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.position import Alibi, Rope
from zeropoint.layers.attention import scaled_dot_product
from zeropoint.layers.attention.cross_attention import CrossAttention
from zeropoint.layers.attention.scaled_dot_product import attend, fused, repeat_heads, softcapped, written_out
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.mask import attention_mask
from zeropoint.layers.token_positions import Place, place

B, T, S, H, K, D = 2, 5, 7, 4, 8, 32
SPEC = Attention(H, 2, K, Rope(10000.0, K))


def heads(n_tokens: int) -> Tensor:
    return torch.randn(B, H, n_tokens, K)


def where(n_tokens: int = T) -> Place:
    return place(torch.zeros(B, n_tokens, dtype=torch.long), None, None)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("is_padded", [True, False])
def test_written_out_is_fused(is_causal: bool, window: int | None, is_padded: bool) -> None:
    q, k, v = heads(T), heads(S), heads(S)
    is_token_BS = torch.tensor([[0] * 3 + [1] * 4, [1] * 7]).bool() if is_padded else None
    bias_HTS = torch.randn(H, T, S)
    mask = attention_mask(
        T, S, is_causal=is_causal, window=window, is_token_BS=is_token_BS, bias_HTS=bias_HTS
    )
    want = fused(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(written_out(q, k, v, mask, scale=0.3), want)
    assert not want.isnan().any()


def test_the_way_back_is_the_same_in_all_forms() -> None:
    mask, towards = attention_mask(T, T, is_causal=True), heads(T)
    parts = [heads(T).requires_grad_() for _ in range(3)]
    mixes = [form(*parts, mask, scale=0.3) for form in (written_out, fused)]
    mixes += [form(*parts, None, scale=0.3, is_causal=True) for form in (attend, fused)]
    ways = [torch.autograd.grad(mix, parts, towards) for mix in mixes]
    for mix, way in zip(mixes[1:], ways[1:], strict=True):
        torch.testing.assert_close(mix, mixes[0])
        torch.testing.assert_close(way, ways[0])


@pytest.mark.parametrize(
    ("spec", "bias_HTS", "is_plain"),
    [
        (SPEC, None, True),
        (replace(SPEC, window=T), None, True),
        (replace(SPEC, window=T - 1), None, False),
        (replace(SPEC, is_causal=False), None, False),
        (replace(SPEC, position=Alibi()), None, False),
        (SPEC, torch.zeros(H, T, T), False),
    ],
    ids=["causal", "wide window", "window", "both sides", "alibi", "shared bias"],
)
def test_a_mask_is_made_where_more_is_asked_than_not_to_see_the_future(
    spec: Attention, bias_HTS: Tensor | None, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = SelfAttention(spec, D), torch.randn(B, T, D)
    assert layer.is_plain(T, T, where(), bias_HTS) == is_plain
    assert not layer.is_plain(1, T, where(), bias_HTS)
    assert not layer.is_plain(T, T, place(torch.zeros(B, T), None, torch.ones(B, T)), bias_HTS)
    out = layer(x, where(), bias_HTS=bias_HTS)
    monkeypatch.setattr(layer, "is_plain", lambda *args: False)
    torch.testing.assert_close(layer(x, where(), bias_HTS=bias_HTS), out)


@pytest.mark.parametrize(
    ("learns", "n_keys", "dropout", "form"),
    [
        (True, 128, 0.0, "written_out"),
        (True, 129, 0.0, "fused"),
        (False, 128, 0.0, "fused"),
        (True, 129, 0.1, "written_out"),
    ],
)
def test_a_cpu_learns_from_few_keys_or_with_dropout_in_the_form_that_is_faster_there(
    learns: bool, n_keys: int, dropout: float, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    for name in ("written_out", "fused"):
        monkeypatch.setattr(
            scaled_dot_product, name, lambda q, *rest, name=name, **named: taken.append(name) or q
        )
    q, k = torch.randn(1, 1, 1, K, requires_grad=learns), torch.randn(1, 1, n_keys, K)
    attend(q, k, k, None, scale=1, dropout=dropout)
    assert taken == [form]


@pytest.mark.parametrize("form", [written_out, fused])
def test_lost_weights_are_made_up_for_by_the_others(form: Callable[..., Tensor]) -> None:
    """Values that are a unit matrix make the mix the weights: each 0 or 1 / (1 - p) as large, by chance p."""
    q, k, v, p = heads(S), heads(S), torch.eye(S).expand(B, H, S, S), 0.25
    mask = attention_mask(S, S, is_causal=True)
    whole = form(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(form(q, k, v, mask, scale=0.3, dropout=0.0), whole)
    torch.manual_seed(1)
    drawn = torch.stack([form(q, k, v, mask, scale=0.3, dropout=p) for _ in range(400)])
    torch.testing.assert_close(drawn, torch.where(drawn == 0, 0.0, whole / (1 - p)))
    is_lost = (drawn == 0)[..., torch.ones(S, S).tril().bool()]
    assert is_lost.float().mean().item() == pytest.approx(p, abs=0.01)
    torch.testing.assert_close(drawn.mean(0), whole, atol=0.12, rtol=0)


@pytest.mark.parametrize("layer_of", [SelfAttention, CrossAttention])
def test_attentions_weights_are_dropped_while_training_in_either_form(
    layer_of: type[SelfAttention | CrossAttention], monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(form: str, layer: nn.Module, **named: object) -> list[float]:
        found: list[float] = []
        with monkeypatch.context() as patch:
            shown = {"see": lambda name, tensor: None} if form == "written_out" else {}
            whole = getattr(scaled_dot_product, form)
            patch.setattr(
                scaled_dot_product, form, lambda *a, dropout, **b: found.append(dropout) or whole(*a, **b)
            )
            patch.setattr(scaled_dot_product, "_is_slow_fused", lambda *args: False)
            layer(x, second(layer), **shown)
        return found

    def second(layer: nn.Module) -> object:
        return layer.keys_values(x) if isinstance(layer, CrossAttention) else where()

    x = torch.randn(B, T, D)
    layer = layer_of(SPEC if layer_of is SelfAttention else Attention(H, H, K, is_causal=False), D, 0.3)
    for form in ("written_out", "fused"):
        assert given(form, layer.train()) == [0.3]
        assert given(form, layer.eval()) == [0.0]
    assert not torch.equal(layer.train()(x, second(layer)), layer(x, second(layer)))
    assert torch.equal(layer.eval()(x, second(layer)), layer(x, second(layer)))


def test_every_step_can_be_seen() -> None:
    q, k, v = heads(T), heads(T), heads(T)
    seen: dict[str, Tensor] = {}
    mask = attention_mask(T, T, is_causal=True)
    mix = attend(q, k, v, mask, scale=0.5, softcap=2.0, see=seen.__setitem__)
    assert list(seen) == ["scores", "capped", "masked", "weights", "mix"]
    torch.testing.assert_close(seen["scores"], torch.einsum("bhtk,bhsk->bhts", q, k) * 0.5)
    assert seen["capped"].abs().max() < 2
    assert (seen["masked"].isinf() == torch.ones(T, T).triu(1).bool()).all()
    torch.testing.assert_close(seen["weights"].sum(-1), torch.ones(B, H, T))
    assert (seen["weights"].triu(1) == 0).all()
    assert seen["mix"] is mix


def test_looking_changes_nothing() -> None:
    layer, x = SelfAttention(SPEC, D), torch.randn(B, T, D)
    torch.testing.assert_close(layer(x, where(), see=lambda name, tensor: None), layer(x, where()))


def test_softcap_keeps_small_scores() -> None:
    small = torch.tensor([-0.01, 0.0, 0.01])
    torch.testing.assert_close(softcapped(small, 50.0), small)


def test_grouped_heads_are_full_heads_with_equal_keys() -> None:
    grouped, full = SelfAttention(SPEC, D), SelfAttention(replace(SPEC, n_kv_heads=H), D)
    weights = dict(grouped.state_dict())
    for name in ("key.weight", "value.weight"):
        weights[name] = weights[name].view(2, 1, K, D).expand(2, 2, K, D).reshape(H * K, D)
    full.load_state_dict(weights)
    x = torch.randn(B, T, D)
    torch.testing.assert_close(grouped(x, where()), full(x, where()))


def test_heads_of_a_group_follow_each_other() -> None:
    x_BNSK = torch.arange(2.0).view(1, 2, 1, 1)
    assert repeat_heads(x_BNSK, 6).flatten().tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("window", [None, 2])
def test_what_a_token_sees(window: int | None) -> None:
    """A token's answer moves with what it may see, and with nothing else."""
    layer, x = SelfAttention(replace(SPEC, window=window), D), torch.randn(1, T, D)
    before = layer(x, where())
    for changed in range(T):
        moved = x.clone()
        moved[0, changed] += 1
        has_moved = (layer(moved, where()) - before)[0].abs().amax(-1) > 1e-6
        want = [t >= changed and (window is None or t - changed < window) for t in range(T)]
        assert has_moved.tolist() == want


def test_alibi_attention_knows_distance_without_an_embedding() -> None:
    layer = SelfAttention(replace(SPEC, position=Alibi(), is_causal=False), D)
    same = torch.randn(1, 1, D).expand(1, T, D)
    seen: dict[str, Tensor] = {}
    layer(same, where(), see=seen.__setitem__)
    weights_HTS = seen["weights"][0]
    assert weights_HTS[0, 0].tolist() == sorted(weights_HTS[0, 0].tolist(), reverse=True)


def test_cross_attention_passes_over_padding() -> None:
    layer = CrossAttention(Attention(H, H, K, is_causal=False), D)
    x, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    is_token_BS = torch.tensor([[1] * 4 + [0] * 3] * B).bool()
    got = layer(x, layer.keys_values(memory), is_token_BS)
    torch.testing.assert_close(got, layer(x, layer.keys_values(memory[:, :4])))


def test_cross_attention_sees_the_whole_source() -> None:
    layer = CrossAttention(Attention(H, 1, K, is_causal=False), D)
    memory = torch.randn(1, S, D)
    seen: dict[str, Tensor] = {}
    layer(torch.randn(1, T, D), layer.keys_values(memory), see=seen.__setitem__)
    assert (seen["weights"] > 0).all()
    assert seen["weights"].shape == (1, H, T, S)
