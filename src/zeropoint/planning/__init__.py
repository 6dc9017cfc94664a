"""Does a model fit in this machine's memory, and how fast will it be?

Read `plan` (memory and speed from sizes alone), `roofline` (measured bandwidth), then `estimate` (a plan by
model name, before any download).
"""
