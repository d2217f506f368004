/* The kernel of mode balanced: a group of statements out in one call, all results that have arrived in one call, and
 * their values by column, without the GIL. The Python side is db_pool_rs/balanced/. */
#ifndef DBP_KERNEL_H
#define DBP_KERNEL_H

#include <libpq-fe.h>

#include "block.h"

/* What dbp_group_pump found. */
enum {
    DBP_NO_MEMORY = -1,
    DBP_WAITING = 0, /* more is to come */
    DBP_ENDED = 1,   /* everything succeeded, the Sync included */
    DBP_TROUBLE = 2, /* a result that is no success; nothing was taken after it */
    DBP_LOST = 3,    /* the connection broke */
    DBP_DECODED = 4  /* everything succeeded, and the rows are in the block */
};

/* A prepared statement: how its arguments are sent and its rows decoded. What it points to is the caller's. */
typedef struct {
    const char *name;
    int32_t nparams;
    int32_t result_format;
    const int *formats;
    const int *widths; /* bytes of each argument, if all of them have a fixed size */
    int32_t ncolumns;
    const int32_t *kinds;
} dbp_text;

/* The results of one group on one connection, by step. */
typedef struct {
    PGconn *conn;
    PGresult **results;
    dbp_block *block;     /* where they are decoded */
    const dbp_text *text; /* what all of them are decoded as, in the call that receives the last one; NULL: not then */
    int32_t most_rows;    /* a result with more rows or memory than this is not decoded then */
    int64_t most_memory;
    int32_t count;
    int32_t room;
    int32_t most;     /* rows of the longest result */
    int64_t largest;  /* bytes of the largest one of more than one value */
    int32_t ahead;    /* results that come before those of the steps, and are dropped if they are successes */
    int32_t expected; /* steps of the group; the result after them is its Sync's */
} dbp_group;

dbp_group *dbp_group_new(PGconn *conn, dbp_block *block, int32_t most_rows, int64_t most_memory);
void dbp_group_free(dbp_group *group);
void dbp_group_start(dbp_group *group, int32_t expected);
int32_t dbp_group_pump(dbp_group *group);
int32_t dbp_group_read(dbp_group *group);
int32_t dbp_group_same_tags(const dbp_group *group, const void *numbers, int32_t count);
PGresult *dbp_group_take(dbp_group *group, int32_t step);

int64_t dbp_copy_rows(PGconn *conn, char **data, int32_t *last);

int32_t dbp_send(PGconn *conn, const dbp_text *text, int32_t named, int32_t count, const void *lengths,
                 const char *data, int64_t size);
int32_t dbp_group_send(dbp_group *group, const dbp_text *text, int32_t decode, int32_t count, const void *lengths,
                       const char *data, int64_t size);

dbp_block *dbp_block_new(void);
void dbp_block_free(dbp_block *block);
int32_t dbp_decode(dbp_block *block, PGresult *const *results, const void *numbers, int32_t count, int32_t first_row,
                   int32_t max_rows, int32_t ncolumns, const int32_t *kinds);
int32_t dbp_decode_slices(dbp_block *const *blocks, int32_t count, PGresult *result, int32_t rows, int32_t ncolumns,
                          const int32_t *kinds);

#endif
