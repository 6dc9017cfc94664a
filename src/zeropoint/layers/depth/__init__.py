"""Alternatives to the plain residual stack: `reversible`, whose activations need not be stored."""
