"""Drafters: one file for each way to guess the next tokens of a text. A file's name is the method's name."""
