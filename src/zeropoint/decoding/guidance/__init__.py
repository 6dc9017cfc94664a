"""Guided generation: only tokens that a grammar allows. Read `guide`, `check`, then `guided`.

The package llguidance computes which tokens may follow; the engines exclude the others before they sample
(`Engine.steer`). Where the grammar leaves one choice, the tokens are guesses that cannot be wrong, so they
cost no pass of their own.
"""
