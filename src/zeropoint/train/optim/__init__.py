"""How weights follow their gradients: an optimizer a file, `Spec` (its numbers, and `build`)."""
