"""Ladders, one a file: its rungs, what was published of each, and how each is built and trained."""
