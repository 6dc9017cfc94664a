"""From logits to a token: the parameters, one file a step, and the seeded draw."""
