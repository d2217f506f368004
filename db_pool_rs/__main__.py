"""`python -m db_pool_rs`: see :mod:`db_pool_rs.cli`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
