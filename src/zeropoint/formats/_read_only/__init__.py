"""Formats that are read but not written: choosing good points of their lattices takes a long search and a
measurement of which weights matter. `INSTEAD` of each module names the format to convert to.

Several weights share an index, which selects a point of a lattice: magnitudes that occur together often
enough to be worth a code. _points has the lattices and signs. Start with iq3_s.
"""
