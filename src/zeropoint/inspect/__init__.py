"""Looking inside a model while it runs, and at two engines side by side."""
