"""Builds the extension modules; everything else about this distribution is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent))  # setuptools as a build backend leaves it out

from build_kernel import FLAGS, SANITIZE

flags = {"extra_compile_args": [*FLAGS, *SANITIZE], "extra_link_args": SANITIZE}
rows = Extension(
    "db_pool_rs_balanced._rows", sources=["src/rows.c"], depends=["src/block.h", "src/imported.h"], **flags
)
answers = Extension("db_pool_rs_balanced._answers", sources=["src/answers.c"], depends=["src/imported.h"], **flags)
setup(
    cffi_modules=["build_kernel.py:ffibuilder"],
    ext_modules=[rows, answers],
    options={"build_ext": {"force": True}},  # what an earlier build left behind may have been made with other flags
)
