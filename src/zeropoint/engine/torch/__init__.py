"""The torch engine: `engine` runs the models of `models/` behind the contract of `engine/contract`."""
