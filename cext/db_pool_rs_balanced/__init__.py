"""The C kernel of db_pool_rs, mode balanced: `ffi` and `lib` of cffi. Its user is ``db_pool_rs.balanced``.

The two belong together: db_pool_rs refuses a kernel whose version is not its own.
"""

from ._kernel import ffi, lib

__all__ = ["ffi", "lib"]

__version__ = "0.1.0"
