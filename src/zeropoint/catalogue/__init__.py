"""Which models there are, where they come from, and where their files rest on this disk."""
