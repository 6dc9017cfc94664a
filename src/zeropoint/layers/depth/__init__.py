"""How layers are stacked."""
