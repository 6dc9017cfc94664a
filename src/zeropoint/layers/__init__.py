"""The building blocks of a transformer in PyTorch, one idea per file; no layer knows the model around it.

Read `embedding`, `norm`, `attention/scaled_dot_product`, `attention/self_attention`, `position/rope`,
`ffn/gated`, `head` and `loss`, then `cache` and `mask`; `fast/` holds what is only there for speed.
Axis letters: B batch, T query positions, S key positions, D model width, H query heads, N key/value heads,
K head width, F feed-forward width, V vocabulary, E experts, A active experts.
"""
