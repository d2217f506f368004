"""Builds the extension module; everything else about this distribution is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["build_kernel.py:ffibuilder"])
