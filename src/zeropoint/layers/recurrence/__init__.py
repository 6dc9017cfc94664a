"""Recurrent layers: a state updated token by token. Read `gru`, then `alignment` (early attention)."""
