"""How loss falls with size and data: a grid of small runs, a law through them, a prediction checked."""
