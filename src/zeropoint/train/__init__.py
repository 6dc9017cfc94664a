"""Training: from a configuration to a run folder with checkpoints.

Read `config/` (every setting), `run/` (prepare, resume, save) and `loop/` (the training loop) first.
`objectives/`, `optim/` and `schedules/` hold the losses, optimizers and learning-rate schedules, one per
file. `checkpoints/`, `callbacks/`, `report/`, `averaging/`, `distributed/` and `scaling/` can be read in any
order.
"""
