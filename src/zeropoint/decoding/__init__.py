"""Decoding strategies that compare whole answers: read `greedy`, `beam`, `batched`, then `translator`.

The first two decode one answer through a `Stepper` of any engine; `batched` decodes many sources at once with
a torch encoder-decoder, and `translator` uses it to translate sentences. Sampling single tokens is in
`sampling/`.
"""
