"""Fine-tuning: adapt a trained model with few trained weights, on the loop that pre-training uses.

Read `adapters/lora.py` (the idea), `adapted_linear.py` (merge and unmerge), `peft_layout.py` (files
that peft reads and writes), `examples.py` and `tokens.py` (from lines of JSON to ids), `batches.py`,
`objectives/` (what is minimized), and `run.py`, which `zeropoint tune` calls.
"""
