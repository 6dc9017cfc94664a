"""The sampling steps: one file each, found by its name (see `sampling/step.py`)."""
