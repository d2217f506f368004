"""The generators of `generate_interfaces`: each has a function `outputs()`, the wanted texts of its files.

sqlstates.py   exception classes, from _data/errcodes.txt
types.py       the tables of built-in types, from _data/types.txt
conditions.py  SQLSTATEs that the engines treat alike, from _data/conditions.txt
reference.py   docs/configuration.md, from the options
target.py      what they share: where the project is, regions of a file that are generated
"""
