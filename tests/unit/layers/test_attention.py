"""Scaled dot-product attention in both implementations, and the layers built on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.attention import Attention, QueryScale
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Alibi, NoPosition, Rope
from zeropoint.errors import BadInput
from zeropoint.layers.attention import scaled_dot_product
from zeropoint.layers.attention.cross_attention import CrossAttention
from zeropoint.layers.attention.scaled_dot_product import (
    naive_attention,
    repeat_heads,
    scaled_dot_product_attention,
    sdpa,
    softcapped,
)
from zeropoint.layers.attention.self_attention import SelfAttention, growing_scale
from zeropoint.layers.cache import KeyValueCache
from zeropoint.layers.mask import attention_mask
from zeropoint.layers.taps import Taps, observe
from zeropoint.layers.token_positions import TokenPositions, consecutive, token_positions

B, T, S, H, K, D = 2, 5, 7, 4, 8, 32
SPEC = Attention(H, 2, K, Rope(10000.0, K))

every_function = pytest.mark.parametrize(
    "attention", [naive_attention, sdpa, scaled_dot_product_attention], ids=lambda f: f.__name__
)


def heads(n_tokens: int) -> Tensor:
    return torch.randn(B, H, n_tokens, K)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("is_padded", [True, False])
def test_naive_attention_equals_sdpa(is_causal: bool, window: int | None, is_padded: bool) -> None:
    q, k, v = heads(T), heads(S), heads(S)
    padding_mask_BS = torch.tensor([[0] * 3 + [1] * 4, [1] * 7]).bool() if is_padded else None
    mask = attention_mask(
        T,
        S,
        is_causal=is_causal,
        window=window,
        padding_mask_BS=padding_mask_BS,
        score_bias_HTS=torch.randn(H, T, S),
    )
    expected = sdpa(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(naive_attention(q, k, v, mask, scale=0.3), expected)
    assert not expected.isnan().any()


def test_gradients_of_all_implementations_agree() -> None:
    mask, upstream = attention_mask(T, T, is_causal=True), heads(T)
    inputs = [heads(T).requires_grad_() for _ in range(3)]
    contexts = [function(*inputs, mask, scale=0.3) for function in (naive_attention, sdpa)]
    contexts += [
        function(*inputs, scale=0.3, is_causal=True) for function in (scaled_dot_product_attention, sdpa)
    ]
    gradients = [torch.autograd.grad(context, inputs, upstream) for context in contexts]
    for context, gradient in zip(contexts[1:], gradients[1:], strict=True):
        torch.testing.assert_close(context, contexts[0])
        torch.testing.assert_close(gradient, gradients[0])


@every_function
def test_boolean_mask_has_the_meaning_of_torch(attention: Callable[..., Tensor]) -> None:
    """True: may attend. Adding such a mask to the scores would mask nothing."""
    q, k, v = heads(T), heads(S), heads(S)
    may_attend_TS = torch.ones(T, S).tril().bool()
    expected = nn.functional.scaled_dot_product_attention(q, k, v, may_attend_TS, scale=0.3)
    torch.testing.assert_close(attention(q, k, v, may_attend_TS[None, None], scale=0.3), expected)
    assert not torch.allclose(attention(q, k, v, scale=0.3), expected)


@every_function
def test_integer_mask_is_rejected(attention: Callable[..., Tensor]) -> None:
    q = heads(T)
    with pytest.raises(BadInput, match=r"mask has dtype torch\.int64; pass a boolean mask, True where"):
        attention(q, q, q, torch.ones(1, 1, T, T, dtype=torch.int64), scale=0.3)


@pytest.mark.parametrize(
    ("spec", "score_bias_HTS", "is_plain_causal"),
    [
        (SPEC, None, True),
        (replace(SPEC, window=T), None, True),
        (replace(SPEC, window=T - 1), None, False),
        (replace(SPEC, is_causal=False), None, False),
        (replace(SPEC, position=Alibi()), None, False),
        (SPEC, torch.zeros(H, T, T), False),
    ],
    ids=["causal", "wide window", "window", "bidirectional", "alibi", "shared bias"],
)
def test_mask_table_is_built_only_for_more_than_causality(
    spec: Attention, score_bias_HTS: Tensor | None, is_plain_causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x, positions = SelfAttention(spec, D), torch.randn(B, T, D), consecutive(T)
    padded = token_positions(torch.zeros(B, T), mask_BT=torch.ones(B, T))
    assert layer.is_plain_causal(T, T, positions, score_bias_HTS) == is_plain_causal
    assert not layer.is_plain_causal(1, T, positions, score_bias_HTS)
    assert not layer.is_plain_causal(T, T, padded, score_bias_HTS)
    output = layer(x, score_bias_HTS=score_bias_HTS)
    monkeypatch.setattr(layer, "is_plain_causal", lambda *args: False)
    torch.testing.assert_close(layer(x, score_bias_HTS=score_bias_HTS), output)


@pytest.mark.parametrize(
    ("trains", "n_keys", "dropout", "is_fused"),
    [(True, 128, 0.0, False), (True, 129, 0.0, True), (False, 128, 0.0, True), (True, 129, 0.1, False)],
)
def test_cpu_runs_the_faster_implementation(
    trains: bool, n_keys: int, dropout: float, is_fused: bool
) -> None:
    """The autograd graph shows which kernel ran: training with few keys or with dropout avoids torch's."""
    q = torch.randn(1, 1, 3, K, requires_grad=trains)
    k, v = torch.randn(1, 1, n_keys, K), torch.randn(1, 1, n_keys, K, requires_grad=True)
    context = scaled_dot_product_attention(q, k, v, scale=1.0, dropout=dropout)
    assert ("ScaledDotProduct" in type(context.grad_fn).__name__) == is_fused
    if not dropout:
        torch.testing.assert_close(context, naive_attention(q, k, v, scale=1.0))


@pytest.mark.parametrize("attention", [naive_attention, sdpa])
def test_dropout_scales_the_remaining_weights(attention: Callable[..., Tensor]) -> None:
    """If the values are the identity matrix, the context is the weights: 0 or 1 / (1 - p) as large."""
    q, k, v, p = heads(S), heads(S), torch.eye(S).expand(B, H, S, S), 0.25
    mask = attention_mask(S, S, is_causal=True)
    weights = attention(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(attention(q, k, v, mask, scale=0.3, dropout=0.0), weights)
    torch.manual_seed(1)
    draws = torch.stack([attention(q, k, v, mask, scale=0.3, dropout=p) for _ in range(400)])
    torch.testing.assert_close(draws, torch.where(draws == 0, 0.0, weights / (1 - p)))
    is_dropped = (draws == 0)[..., torch.ones(S, S).tril().bool()]
    assert is_dropped.float().mean().item() == pytest.approx(p, abs=0.01)
    torch.testing.assert_close(draws.mean(0), weights, atol=0.12, rtol=0)


@pytest.mark.parametrize("is_slow", [True, False], ids=["naive", "fused"])
@pytest.mark.parametrize("kind", [SelfAttention, CrossAttention])
def test_layers_drop_attention_weights_only_while_training(
    kind: type[SelfAttention | CrossAttention], is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a single key its weight is 1, so a head's output is v, or 0 if the weight is dropped."""
    monkeypatch.setattr(scaled_dot_product, "is_sdpa_slow", lambda *args: is_slow)
    n_rows, p = 2000, 0.3
    layer = kind(Attention(H, H, K, is_causal=kind is SelfAttention), D, p)
    layer.register_module("output", nn.Identity())
    x = torch.randn(n_rows, 1, D)
    args = (layer.keys_values(x),) if isinstance(layer, CrossAttention) else ()
    value_BHK = layer.value(x).view(n_rows, H, K)
    torch.testing.assert_close(layer.eval()(x, *args).view(n_rows, H, K), value_BHK)
    context_BHK = layer.train()(x, *args).view(n_rows, H, K)
    is_dropped_BH = (context_BHK == 0).all(-1)
    assert is_dropped_BH.float().mean().item() == pytest.approx(p, abs=0.03)
    remains_BH = ~is_dropped_BH
    torch.testing.assert_close(context_BHK[remains_BH], value_BHK[remains_BH] / (1 - p), atol=1e-4, rtol=1e-4)


def test_naive_attention_records_every_step() -> None:
    q, k, v = heads(T), heads(T), heads(T)
    steps: dict[str, Tensor] = {}
    mask = attention_mask(T, T, is_causal=True)
    taps = Taps(steps.__setitem__)
    context = scaled_dot_product_attention(q, k, v, mask, scale=0.5, softcap=2.0, taps=taps)
    assert list(steps) == ["scores", "capped", "masked", "weights"]
    torch.testing.assert_close(steps["scores"], torch.einsum("bhtk,bhsk->bhts", q, k) * 0.5)
    assert steps["capped"].abs().max() < 2
    assert (steps["masked"].isinf() == torch.ones(T, T).triu(1).bool()).all()
    torch.testing.assert_close(steps["weights"].sum(-1), torch.ones(B, H, T))
    assert (steps["weights"].triu(1) == 0).all()
    torch.testing.assert_close(steps["weights"] @ v, context)


def test_observing_does_not_change_the_output() -> None:
    layer, x = SelfAttention(SPEC, D), torch.randn(B, T, D)
    torch.testing.assert_close(observe(layer, lambda name, tensor: None)(x), layer(x))


def test_softcap_leaves_small_scores_unchanged() -> None:
    small = torch.tensor([-0.01, 0.0, 0.01])
    torch.testing.assert_close(softcapped(small, 50.0), small)


def test_grouped_query_attention_equals_full_attention_with_repeated_keys() -> None:
    grouped, full = SelfAttention(SPEC, D), SelfAttention(replace(SPEC, n_kv_heads=H), D)
    weights = dict(grouped.state_dict())
    for name in ("key.weight", "value.weight"):
        weights[name] = weights[name].view(2, 1, K, D).expand(2, 2, K, D).reshape(H * K, D)
    full.load_state_dict(weights)
    x = torch.randn(B, T, D)
    torch.testing.assert_close(grouped(x), full(x))


def test_query_heads_of_a_group_are_consecutive() -> None:
    x_BNSK = torch.arange(2.0).view(1, 2, 1, 1)
    assert repeat_heads(x_BNSK, 6).flatten().tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("window", [None, 2])
def test_output_depends_only_on_attended_tokens(window: int | None) -> None:
    layer, x = SelfAttention(replace(SPEC, window=window), D), torch.randn(1, T, D)
    before = layer(x)
    for changed in range(T):
        modified = x.clone()
        modified[0, changed] += 1
        depends = (layer(modified) - before)[0].abs().amax(-1) > 1e-6
        expected = [t >= changed and (window is None or t - changed < window) for t in range(T)]
        assert depends.tolist() == expected


def test_default_positions_are_consecutive_and_follow_the_cache() -> None:
    layer, x, cache = SelfAttention(SPEC, D), torch.randn(B, T, D), KeyValueCache()
    output = layer(x)
    torch.testing.assert_close(layer(x, TokenPositions(torch.arange(T)[None])), output)
    parts = [layer(x[:, :2], cache=cache), layer(x[:, 2:3], cache=cache), layer(x[:, 3:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, 1), output)


def test_precomputed_rotation_gives_the_same_output() -> None:
    layer, x = SelfAttention(SPEC, D), torch.randn(B, T, D)
    rotation = layer.rotation(consecutive(T))
    assert torch.equal(layer(x, rotation=rotation), layer(x))
    assert SelfAttention(replace(SPEC, position=Alibi()), D).rotation(consecutive(T)) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(SPEC, n_kv_heads=3), "attention.n_kv_heads is 3; expected a divisor of n_heads, 4"),
        (replace(SPEC, n_kv_heads=0), "attention.n_kv_heads is 0; expected a divisor"),
        (replace(SPEC, position=Rope(1e4, 7)), "n_rotated is 7; expected an even number from 2 to d_head, 8"),
        (replace(SPEC, position=Rope(1e4, 10)), "n_rotated is 10; expected an even number from 2 to d_head"),
    ],
)
def test_impossible_sizes_are_rejected(spec: Attention, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SelfAttention(spec, D)


def test_query_key_norm_normalizes_each_head() -> None:
    layer, taps = SelfAttention(replace(SPEC, query_key_norm=RMSNorm(1e-9)), D), dict[str, Tensor]()
    observe(layer, taps.__setitem__)(torch.randn(B, T, D))
    torch.testing.assert_close(taps["query_norm"].square().mean(-1), torch.ones(B, H, T))
    assert not torch.allclose(taps["query_norm"], taps["query"])


def test_joint_query_key_norm_covers_all_heads() -> None:
    spec = replace(SPEC, position=NoPosition(), query_key_norm=RMSNorm(1e-5), has_joint_query_key_norm=True)
    layer, x, tensors = SelfAttention(spec, D), torch.randn(1, T, D), dict[str, Tensor]()
    assert (layer.query_norm.weight.shape, layer.key_norm.weight.shape) == ((H * K,), (2 * K,))
    observe(layer, tensors.__setitem__)(x)
    q_THK = tensors["query"][0].transpose(0, 1)
    expected = q_THK / torch.sqrt(q_THK.square().mean((1, 2), keepdim=True) + 1e-5)
    torch.testing.assert_close(tensors["query_norm"][0].transpose(0, 1), expected)


def test_an_output_gate_scales_what_the_heads_read() -> None:
    spec = Attention(4, 2, 8, has_output_gate=True)
    gated, x = SelfAttention(spec, 32), torch.randn(2, 5, 32)
    plain = SelfAttention(replace(spec, has_output_gate=False), 32)
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.startswith("gate.")})
    plain.output = gated.output = torch.nn.Identity()
    expected = plain(x) * torch.sigmoid(x @ gated.gate.weight.T)
    torch.testing.assert_close(gated(x), expected)


def test_sink_is_a_key_without_value() -> None:
    """It changes the weights as one more key would whose score is the logit and whose value is 0."""
    q, k, v, sink = heads(T), heads(S), heads(S), torch.randn(H)
    one_more = torch.zeros(B, H, 1, K)
    mask = torch.cat([torch.zeros(H, T, S), sink[:, None, None].expand(H, T, 1)], dim=-1)[None]
    expected = sdpa(q, torch.cat([k, one_more], 2), torch.cat([v, one_more], 2), mask, scale=0.3)
    actual = scaled_dot_product_attention(q, k, v, scale=0.3, sink_H=sink)
    torch.testing.assert_close(actual, expected)
    low = scaled_dot_product_attention(q, k, v, scale=0.3, sink_H=torch.full((H,), -100.0))
    torch.testing.assert_close(low, sdpa(q, k, v, scale=0.3))


def test_alibi_weights_decay_with_distance() -> None:
    layer = SelfAttention(replace(SPEC, position=Alibi(), is_causal=False), D)
    taps: dict[str, Tensor] = {}
    observe(layer, taps.__setitem__)(torch.randn(1, 1, D).expand(1, T, D))
    weights_T = taps["weights"][0, 0, 0].tolist()
    assert weights_T == sorted(weights_T, reverse=True)
    assert weights_T[0] > weights_T[-1]


def test_cross_attention_ignores_padding_of_the_source() -> None:
    layer = CrossAttention(Attention(H, H, K, is_causal=False), D)
    x, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    padding_mask_BS = torch.tensor([[1] * 4 + [0] * 3] * B).bool()
    output = layer(x, layer.keys_values(memory), padding_mask_BS)
    torch.testing.assert_close(output, layer(x, layer.keys_values(memory[:, :4])))


def test_cross_attention_attends_to_the_complete_source() -> None:
    layer, taps = CrossAttention(Attention(H, 1, K, is_causal=False), D), dict[str, Tensor]()
    memory = torch.randn(1, S, D)
    observe(layer, taps.__setitem__)(torch.randn(1, T, D), layer.keys_values(memory))
    assert (taps["weights"] > 0).all()
    assert taps["weights"].shape == (1, H, T, S)


def test_queries_grow_with_the_position_beyond_the_original_context() -> None:
    scale = growing_scale(QueryScale(0.5, 4), torch.tensor([[0, 3, 4, 7, 8]]))
    expected = [1.0, 1.0, 1 + 0.5 * math.log(2), 1 + 0.5 * math.log(2), 1 + 0.5 * math.log(3)]
    torch.testing.assert_close(scale, torch.tensor([expected]))
    plain = SelfAttention(SPEC, D)
    grown = SelfAttention(replace(SPEC, query_scale=QueryScale(0.5, 4)), D)
    grown.load_state_dict(plain.state_dict())
    x = torch.randn(1, 6, D)
    torch.testing.assert_close(plain(x)[:, :4], grown(x)[:, :4])
    assert (plain(x)[:, 4:] - grown(x)[:, 4:]).abs().max() > 1e-3
