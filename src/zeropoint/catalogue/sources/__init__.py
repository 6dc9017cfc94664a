"""Kinds of source a model file comes from, one a file; each has a frozen dataclass `Source`."""
