"""The canonical type table: PostgreSQL values <-> Python values.

| module | what |
|---|---|
| `oids` | the built-in types: OID, name, array OID |
| `encode` | `encoder(oid)`: how one argument is sent; the table of accepted Python types |
| `catalog` | the types that are not built in, as far as the server was asked about them |
| `parameters` | `ParameterCodec`: all arguments of a statement |
| `decode` | `RowDecoder`: results to rows (needs psycopg, so import it by name) |

Everything but `decode` works in an installation without psycopg.
"""

from .encode import Encoder, encoder
from .parameters import ParameterCodec

__all__ = ["Encoder", "ParameterCodec", "encoder"]
