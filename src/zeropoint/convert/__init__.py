"""Convert a model between GGUF files, Hugging Face folders and number formats.

Read `convert` (the steps), `model_metadata` (everything but weights), and `verify_tensors`, `verify_text` and
`smoke_test`, which check the result before it replaces anything; `run_gguf` opens a training run for the
native engine.
"""
