"""The kinds of source that a model file can come from: one module each, found by file name.

Each defines one `DownloadSource` (see `catalogue/source.py`), whose fields are the keys of a
`[[model.source]]` table in `models.toml`. `url` is the simplest.
"""
