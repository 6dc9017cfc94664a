"""Faster versions of simple operations, and the measurements that decide when to use them.

Read this package last: each file replaces an operation that another file of `layers/` states in one formula.
"""
