"""The training loop and what happens inside a step.

Read `loop` first. `gradient_clipping`, `gradients` (diagnostics), `precision` (autocast type), `compile`
(torch.compile), `determinism` and `early_stopping` each hold one concern of it.
"""
