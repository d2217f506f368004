"""The C kernel of db_pool_rs, mode balanced. Its user is ``db_pool_rs.balanced``.

`ffi` and `lib` are cffi's: libpq and the decoding of results, without the GIL and without Python's objects.
`make_values` and `make_records` make objects of what was decoded, and an `ResultFuture` is what a caller awaits.

The two belong together: db_pool_rs refuses a kernel whose version is not its own.
"""

from ._answers import ResultFuture
from ._kernel import ffi, lib
from ._rows import records as make_records
from ._rows import values as make_values

__all__ = ["ResultFuture", "ffi", "lib", "make_records", "make_values"]

__version__ = "0.1.0"
