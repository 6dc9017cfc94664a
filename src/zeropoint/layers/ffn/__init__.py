"""What a block does with each token by itself."""
