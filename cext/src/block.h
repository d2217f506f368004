/* What the kernel decodes results to, and rows.c makes Python's objects of. */
#ifndef DBP_BLOCK_H
#define DBP_BLOCK_H

#include <stdint.h>

/* How the values of a column are decoded, and what rows.c finds in dbp_column.data for each that is not NULL. */
enum {
    DBP_OTHER = 0,      /* not decoded: the column is odd */
    DBP_BOOL = 1,       /* one byte, 0 or 1 */
    DBP_INT2 = 2,       /* int64 */
    DBP_INT4 = 3,       /* int64 */
    DBP_INT8 = 4,       /* int64 */
    DBP_OID = 5,        /* int64 */
    DBP_FLOAT4 = 6,     /* double */
    DBP_FLOAT8 = 7,     /* double */
    DBP_TEXT = 8,       /* int64, and so many bytes */
    DBP_BYTEA = 9,      /* the same */
    DBP_DATE = 10,      /* 4 bytes: year (2, big-endian), month, day */
    DBP_TIMESTAMP = 11, /* a date, and 6 bytes: hour, minute, second, microsecond (3, big-endian) */
    DBP_UUID = 12,      /* 16 bytes */
    DBP_NUMERIC = 13    /* text like DBP_TEXT, as numeric_out writes it */
};

/* One decoded column. The buffers belong to the block and are used again. */
typedef struct {
    int32_t odd;      /* 1: a value that this kernel does not decode; nothing else counts then */
    int32_t kind;
    uint8_t *missing; /* missing[row] is 1 for NULL, of which there is nothing in data */
    char *data;
    int64_t size;     /* bytes in data */
    int64_t room;
    int32_t rows_room;
} dbp_column;

typedef struct {
    int32_t rows;
    int32_t ncolumns;
    int32_t single;  /* 1: every result has exactly one row */
    int32_t odd;     /* 1: some column is odd */
    int64_t largest; /* bytes of the largest result that was decoded */
    int32_t *counts; /* rows of each result */
    int32_t counts_room;
    int32_t columns_room;
    dbp_column *columns;
} dbp_block;

#endif
