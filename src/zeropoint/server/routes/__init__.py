"""Endpoints, one in each file: PATH, METHOD, SUMMARY, an `endpoint`, and FIELDS if it reads JSON."""
