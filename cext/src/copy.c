/* COPY TO STDOUT: all rows that have arrived, in one call. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* Puts what PQgetCopyData gives, row behind row, into `*data` (NULL before; for PQfreemem); returns the bytes. `*last`
 * is what it said in the end: 0 if more is to come, -1 after the last row, -2 after an error, or without memory. */
int64_t dbp_copy_rows(PGconn *conn, char **data, int32_t *last)
{
    int64_t size = 0, room = 0;
    char *row = NULL;
    while ((*last = PQgetCopyData(conn, &row, 1)) > 0) {
        if (size + *last > room) {
            room = 2 * (size + *last);
            char *more = realloc(*data, (size_t)room);
            if (more == NULL) {
                PQfreemem(row);
                *last = -2;
                break;
            }
            *data = more;
        }
        memcpy(*data + size, row, (size_t)*last);
        size += *last;
        PQfreemem(row);
    }
    return size;
}
