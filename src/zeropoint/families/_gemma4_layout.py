"""What differs between the blocks of Gemma 4, and how config.json and GGUF say it."""

from __future__ import annotations

from zeropoint.blueprint import Block
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Activation, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.per_layer import PerLayerInput
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadModelFile
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import get_float, get_layer_ints, read_kv_heads, rope_from_gguf
from zeropoint.families._hf import FULL, SLIDING, HfConfig, layer_ropes_from_hf
from zeropoint.families._llama_like import layer_windows
from zeropoint.families._windows import all_but_every, sliding_from_gguf
from zeropoint.frozen import frozen

__all__ = ["SHARED", "Layout", "layout_from_gguf", "layout_from_hf"]

SHARED = "gemma4.attention.shared_kv_layers"
_PERIOD = 6


@frozen
class Layout:
    """What differs between blocks.

    sliding, d_ff, n_kv_heads: one for each block. n_shared: blocks at the end that read the keys and values
    of others. d_heads, ropes: of blocks with a window, and of those without.
    """

    sliding: tuple[bool, ...]
    d_ff: tuple[int, ...]
    n_kv_heads: tuple[int, ...]
    n_shared: int
    d_heads: tuple[int, int]
    ropes: tuple[Rope, Rope]
    window: int

    def source(self, i: int) -> int | None:
        """The block whose keys and values block i reads: the last of its kind that has its own. -1: none."""
        n_own = len(self.sliding) - self.n_shared
        if i < n_own:
            return None
        return max((j for j in range(n_own) if self.sliding[j] == self.sliding[i]), default=-1)

    def attention(self, i: int, n_heads: int, norm: RMSNorm) -> Attention:
        """The attention of block i."""
        is_global, source = not self.sliding[i], self.source(i)
        return Attention(
            n_heads,
            self.n_kv_heads[i],
            self.d_heads[is_global],
            self.ropes[is_global],
            window=None if is_global else self.window,
            query_key_norm=norm,
            scale=1.0,
            value_norm=None if source is not None else RMSNorm(norm.eps, has_gain=False),
            source=source,
        )

    def blocks(self, n_heads: int, activation: Activation, norm: RMSNorm, width: int) -> tuple[Block, ...]:
        """All blocks. width: of the per-layer input; 0 for none."""
        return tuple(
            Block(
                self.attention(i, n_heads, norm),
                Gated(self.d_ff[i], activation),
                norm,
                "sandwich",
                per_layer=PerLayerInput(width, activation) if width else None,
                has_output_scale=True,
            )
            for i in range(len(self.sliding))
        )

    @property
    def is_complete(self) -> bool:
        """Whether every block has keys and values to read."""
        return all(self.source(i) != -1 for i in range(len(self.sliding)))


def layout_from_hf(c: HfConfig, n_heads: int) -> Layout:
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    windows = layer_windows(c, 1, all_but_every(_PERIOD, n_layers))
    sliding = (*(window is not None for window in windows[:-1]), False)  # transformers makes the last global
    n_shared = c.get_int("num_kv_shared_layers", 0, n_layers - 1, default=0)
    d_ff = c.get_int("intermediate_size", 1, 2**21)
    factor = 2 if c.get_bool("use_double_wide_mlp", default=False) else 1
    d_heads = (c.get_int("head_dim", 1, 4096), _global_d_head(c, sliding))
    ropes = layer_ropes_from_hf(
        c, dict(zip((SLIDING, FULL), d_heads, strict=True)), {SLIDING: 1e4, FULL: 1e6}
    )
    return Layout(
        sliding=sliding,
        d_ff=(d_ff,) * (n_layers - n_shared) + (factor * d_ff,) * n_shared,
        n_kv_heads=(c.get_int("num_key_value_heads", 1, n_heads),) * n_layers,
        n_shared=n_shared,
        d_heads=d_heads,
        ropes=(ropes[SLIDING], ropes[FULL]),
        window=c.get_int("sliding_window"),
    )


def _global_d_head(c: HfConfig, sliding: tuple[bool, ...]) -> int:
    """The head width of blocks without a window: transformers writes it as an exception for each of them."""
    exceptions = c.section("per_layer_config")
    if c.values.get("per_layer_config") is None:
        return c.get_int("global_head_dim", 1, 4096, default=512)
    widths = set()
    for i, is_sliding in enumerate(sliding):
        layer = HfConfig(HfConfig(exceptions, f"{c.where}, per_layer_config").section(str(i)), c.where)
        if layer.values.keys() - {"head_dim"} or (is_sliding and layer.values):
            raise c.error("per_layer_config", f"only `head_dim`, of layers without a window; see layer {i}")
        if not is_sliding:
            widths.add(layer.get_int("head_dim", 1, 4096, default=c.values["head_dim"]))
    if len(widths) > 1:
        raise c.error("per_layer_config", "the same `head_dim` for all layers without a window")
    return widths.pop()


def layout_from_gguf(model: GgufMetadata, n_layers: int, n_heads: int, d_head: int) -> Layout:
    local_d_head = model.get_int("gemma4.attention.key_length_swa", 1, 4096, default=d_head)
    value = model.get_int("gemma4.attention.value_length_swa", 1, 4096, default=local_d_head)
    if value != local_d_head:
        raise BadModelFile(
            f"{model.name}: metadata `gemma4.attention.value_length_swa` is {value}; it must be the "
            f"key length, {local_d_head}"
        )
    local_rope = Rope(
        get_float(model, "gemma4.rope.freq_base_swa", 1.0, 1e12, default=10000.0),
        model.get_int("gemma4.rope.dimension_count_swa", 2, local_d_head, default=local_d_head),
    )
    return Layout(
        sliding=sliding_from_gguf(model, "gemma4", n_layers, _PERIOD),
        d_ff=get_layer_ints(model, "gemma4.feed_forward_length", n_layers, 1, 2**22),
        n_kv_heads=read_kv_heads(model, "gemma4", n_layers, n_heads),
        n_shared=model.get_int(SHARED, 0, n_layers - 1, default=0),
        d_heads=(local_d_head, d_head),
        ropes=(local_rope, rope_from_gguf(model, "gemma4", d_head, False)),
        window=model.get_int("gemma4.attention.sliding_window", 1, 2**24),
    )
