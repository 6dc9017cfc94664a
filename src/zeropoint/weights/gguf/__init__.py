"""GGUF files (versions 2 and 3): open, query and write them.

Reading order: `reader` opens a file or header, `model` is the opened file (metadata getters and tensors),
`shards` joins the parts of a split model, `writer` writes version 3.
"""
