"""Run a model: one contract, two engines, and sessions on top.

Read `contract` (requests in, events out), then `native` (C++) and `torch` (the reference), which fulfil it,
and `session`, which adds text, chat and saved state. `machine` says what this computer offers.
"""
