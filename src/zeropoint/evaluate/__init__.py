"""Judging models and engines: speed, and later quality."""
