"""How each family of models writes tool calls: one module each, found by file name.

Each defines one `ToolFormat` (see `calls.py`). `hermes` is the simplest.
"""
