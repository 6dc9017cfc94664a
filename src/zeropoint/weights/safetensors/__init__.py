"""Safetensors files, single or sharded: read and write them.

Reading order: `header` validates the JSON header, `reader` opens files and shards, `writer` writes them.
"""
