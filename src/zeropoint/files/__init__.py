"""Durable files: atomic writes, locks between processes, hashes, free disk space and paths in messages.

Everything that writes to disk goes through this package, from downloads to checkpoints. Start with
`atomic_write`; `disk_errors` turns an OSError into a message, `locks` keeps two processes apart.
"""
