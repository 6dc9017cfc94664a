"""Models that run: the contract, the native engine behind it, and the loaded model a person uses."""
