"""Teaching code: small models you can read in one sitting, and published results recomputed with our code.

Read `gpt.py` first, then `build_gpt.py` (a GPT grown part by part), `llama_from_scratch.py`, `copy_task.py`,
`word2vec/` and `handmade/` (weights set by hand). `claims/` checks published numbers; `ladders/` retrains
published sequences of models.
"""
