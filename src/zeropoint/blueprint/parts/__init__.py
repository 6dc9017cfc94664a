"""The parts a block is made of: one file a kind, one small frozen spec a variant."""
