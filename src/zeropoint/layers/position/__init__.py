"""How a model knows where a token stands: added to the embedding, turned into q and k, or added to scores."""
