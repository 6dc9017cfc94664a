"""Attention: each token gathers information from other tokens.

Read `scaled_dot_product` (the formula), `self_attention` (the layer of every decoder), `cross_attention`
(from a decoder to an encoder); `projections` holds the parameters that the last two share.
"""
