"""Interpretability: look inside a loaded model and present what it computes.

`report` gathers logit lens, probabilities and attention of one text; `page` draws them as HTML and `picture`
as a PNG, with `figures`; `steer` makes steering vectors; `compare` checks the native engine against torch,
tap by tap; `attention_map` draws the attention weights of a translation.
"""
