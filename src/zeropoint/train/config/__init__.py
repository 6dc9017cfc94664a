"""Configuration of a training run.

`config` declares every setting with its range and help, `io` reads and writes TOML, `validate` checks rules
across settings; `device` and `duration` parse two kinds of values.
"""
