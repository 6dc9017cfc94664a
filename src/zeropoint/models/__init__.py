"""Models in PyTorch, composed from `layers/` as a blueprint describes; nothing here computes by itself.

Read `block`, `stack`, `base`, `decoder`; then `encoder` and `seq2seq`, which differ in their blocks. `build`
makes the module for a blueprint and loads weights; `trace`, `interventions` and `logit_lens` look inside it.
"""
