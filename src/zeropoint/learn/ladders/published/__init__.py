"""One published ladder per file, as `LADDER`: its rungs, their published losses, and how to train them."""
