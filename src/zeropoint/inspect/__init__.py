"""Interpretability: look inside a loaded model and present what it computes.

`report` gathers logit lens, probabilities and attention of one text; `steer` makes steering vectors;
`compare` checks the native engine against torch, tap by tap; `attention_map` draws attention weights.
"""
