"""The ideas a transformer is made of, in torch, one a file: the forward pass first, axes as letters.

B batch, T query positions, S key positions, D model width, H query heads, N key/value heads, K width of a
head, F feed-forward width, V vocabulary, E experts, A experts active.
"""
