"""Callbacks: what a run reports while it trains.

Read `callbacks` (the interface and the event types) first, then `metrics` (metrics.jsonl, TensorBoard),
`samples` (generated text) and `event_log` (events from another process).
"""
