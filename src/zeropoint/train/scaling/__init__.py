"""How loss falls with size and data: a grid of small runs, a law through them, and a prediction that is checked."""
