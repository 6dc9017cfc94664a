"""Weight averaging during training: `ema` keeps an exponential moving average of the weights.

`models/checkpoint_averaging.py` averages finished checkpoints.
"""
