"""Download one file: HTTP requests, resumable `.part` files, verification and progress callbacks.

Used by `sources/`. Read `download_files` first, then `http_client`.
"""
