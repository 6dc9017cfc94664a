"""Endpoints, one in each file. A route has PATH, METHOD, SUMMARY, an `endpoint`, and FIELDS if it reads JSON."""
