"""Models in torch, put together from layers as a blueprint says: composition only."""
