"""Decoding strategies: read `greedy`, `beam`, `batched`, `translator`, then `drafter` and `speculative`.

`greedy` and `beam` decode one answer through a `Stepper` of any engine; `batched` decodes many sources at
once with a torch encoder-decoder, and `translator` uses it to translate sentences. Sampling single tokens is
in `sampling/`.

`without_cache`, `lookahead`, `threshold` and `contrastive` are further methods over a `Stepper`, to read and
to compare: `zeropoint bench decoding --method lookahead`.

Speculative decoding guesses the next tokens and verifies the guesses in one forward pass, which costs little
more than a pass over one token, because both read every weight once. The answer stays that of plain decoding.
`drafter` says what makes guesses, `drafters/` has one file for each way, and `draft_model` asks a smaller
model. `speculative` is the method in 20 lines; `governor` decides when it pays, and `speculator` drives the
engines.
"""
