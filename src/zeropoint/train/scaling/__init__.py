"""Scaling laws: how the loss falls with model size and data.

Read `grid` (which runs a time budget buys), `study` (train them and check a prediction), `law` (fit the law),
`results_log` (resume a study) and `plot`.
"""
