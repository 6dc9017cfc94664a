"""Texts as plain arrays: what training reads."""
