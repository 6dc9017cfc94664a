"""A state that is carried from token to token."""
