"""Feed-forward networks: what a block computes for each token separately.

Read `mlp` (the 2017 form), `gated` (SwiGLU, as in Llama), then `mixture` (mixture of experts).
"""
