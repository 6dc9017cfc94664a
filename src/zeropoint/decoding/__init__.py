"""How the next token is chosen when choosing needs more than one look: one strategy a file."""
