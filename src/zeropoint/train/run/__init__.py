"""One training run, from configuration to result.

Read `run` (folder, resume), `prepare` (data, tokenizer, blueprint), `build_model`, then `trainer`
(evaluation, checkpoints and stopping around the loop). `causality` checks for leaks of future tokens;
`provenance`, `run_lock`, `signals` and `memory` serve `run`.
"""
