"""Model ladders: each rung adds one part and is trained to a published loss: `zeropoint ladder`.

Read `ladder.py` (rungs, stages, results), then `run_ladder.py` (train and compare) and `results.py` (the
results file). `published/` holds one ladder per file; adding a file there adds a ladder.
"""
