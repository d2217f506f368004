/* Results to columns. Nothing is taken on trust: a value whose length is not that of its type, or that has no plain
 * counterpart in Python (infinity, a year beyond 9999), makes its column `odd`, and the Python codecs decide. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define DAY_MICROSECONDS INT64_C(86400000000)
#define EPOCH_ORDINAL 730120 /* 2000-01-01 in the proleptic Gregorian calendar */
#define EPOCH_DAYS 10957     /* the same since 1970-01-01 */
#define MAX_ORDINAL 3652059  /* 9999-12-31 */
#define NUMERIC_LONGEST 4096 /* characters; longer ones are left to the Python codecs */

static uint16_t get16(const char *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}

static uint32_t get32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static uint64_t get64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

dbp_block *dbp_block_new(void)
{
    return calloc(1, sizeof(dbp_block));
}

void dbp_block_free(dbp_block *block)
{
    if (block == NULL)
        return;
    for (int32_t i = 0; i < block->columns_room; i++) {
        free(block->columns[i].data);
        free(block->columns[i].missing);
    }
    free(block->columns);
    free(block->counts);
    free(block);
}

/* Room for `more` bytes behind those that are there. */
static int reserve(dbp_column *column, int64_t more)
{
    int64_t need = column->size + more;
    if (need <= column->room)
        return 0;
    int64_t room = need + need / 2 + 64;
    char *data = realloc(column->data, (size_t)room);
    if (data == NULL)
        return -1;
    column->data = data;
    column->room = room;
    return 0;
}

static int append(dbp_column *column, const void *bytes, int64_t size)
{
    if (reserve(column, size) < 0)
        return -1;
    if (size > 0)
        memcpy(column->data + column->size, bytes, (size_t)size);
    column->size += size;
    return 0;
}

static int append_int(dbp_column *column, int64_t value)
{
    return append(column, &value, sizeof value);
}

static int append_sized(dbp_column *column, const void *bytes, int64_t size)
{
    return append_int(column, size) < 0 ? -1 : append(column, bytes, size);
}

/* Days since 1970-01-01 to a civil date, after Howard Hinnant's "chrono-compatible low-level date algorithms". */
static void civil(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

/* `value`: days since 2000-01-01. 1: it cannot be a date. */
static int append_date(dbp_column *column, int64_t value)
{
    int64_t ordinal = value + EPOCH_ORDINAL;
    if (ordinal < 1 || ordinal > MAX_ORDINAL)
        return 1;
    int year, month, day;
    civil(value + EPOCH_DAYS, &year, &month, &day);
    unsigned char date[4] = {(unsigned char)(year >> 8), (unsigned char)year, (unsigned char)month, (unsigned char)day};
    return append(column, date, 4);
}

/* `value`: microseconds since 2000-01-01. 1: it cannot be a datetime, or its zone might carry it over the edge. */
static int append_timestamp(dbp_column *column, int64_t value)
{
    int64_t days = value / DAY_MICROSECONDS, rest = value % DAY_MICROSECONDS;
    if (rest < 0) {
        rest += DAY_MICROSECONDS;
        days--;
    }
    int64_t ordinal = days + EPOCH_ORDINAL;
    if (ordinal < 3 || ordinal > MAX_ORDINAL - 2)
        return 1;
    int64_t seconds = rest / 1000000, micros = rest % 1000000;
    unsigned char time[6] = {
        (unsigned char)(seconds / 3600), (unsigned char)(seconds / 60 % 60), (unsigned char)(seconds % 60),
        (unsigned char)(micros >> 16),   (unsigned char)(micros >> 8),       (unsigned char)micros,
    };
    return append_date(column, days) < 0 ? -1 : append(column, time, 6);
}

static void put_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 1000);
    out[1] = (char)('0' + value / 100 % 10);
    out[2] = (char)('0' + value / 10 % 10);
    out[3] = (char)('0' + value % 10);
}

static int numeric_special(dbp_column *column, unsigned sign)
{
    if (sign == 0xC000)
        return append_sized(column, "NaN", 3);
    if (sign == 0xD000)
        return append_sized(column, "Infinity", 8);
    return sign == 0xF000 ? append_sized(column, "-Infinity", 9) : 1;
}

/* Layout: backend/utils/adt/numeric.c, numeric_send: count, weight, sign, scale, then digits in base 10,000. */
static int append_numeric(dbp_column *column, const char *value, int length)
{
    if (length < 8)
        return 1;
    int count = get16(value), weight = (int16_t)get16(value + 2), scale = get16(value + 6);
    unsigned sign = get16(value + 4);
    if (length != 8 + 2 * count)
        return 1;
    if (sign != 0 && sign != 0x4000)
        return count == 0 ? numeric_special(column, sign) : 1;
    if (weight > NUMERIC_LONGEST / 8 || weight < -NUMERIC_LONGEST / 8 || scale > NUMERIC_LONGEST / 4 ||
        count > NUMERIC_LONGEST / 8)
        return 1;
    /* What the server never sends: a leading zero, a negative zero, digits beyond the scale. */
    if (count == 0 ? sign != 0 || weight != 0 : get16(value + 8) == 0 || (count - weight - 1) * 4 - 3 > scale)
        return 1;
    char text[NUMERIC_LONGEST * 2];
    char *out = text;
    int whole = weight < 0 ? 0 : weight + 1, first = weight < 0 ? weight + 1 : 0, fraction = (scale + 3) / 4;
    if (sign != 0)
        *out++ = '-';
    if (whole == 0)
        *out++ = '0';
    for (int i = 0; i < whole + fraction; i++) {
        if (i == whole)
            *out++ = '.';
        int at = whole > 0 ? i : i + first; /* negative: zeros behind the point, before the first digit */
        int digit = at >= 0 && at < count ? get16(value + 8 + 2 * at) : 0;
        if (digit > 9999)
            return 1;
        put_digits(out, digit);
        out += 4;
    }
    if (fraction > 0)
        out -= fraction * 4 - scale;
    return append_sized(column, text, out - text);
}

/* 0: decoded; 1: odd; -1: no memory. */
static int append_value(dbp_column *column, const char *value, int length)
{
    switch (column->kind) {
    case DBP_BOOL: {
        if (length != 1)
            return 1;
        char truth = value[0] != 0;
        return append(column, &truth, 1);
    }
    case DBP_INT2:
        return length == 2 ? append_int(column, (int16_t)get16(value)) : 1;
    case DBP_INT4:
        return length == 4 ? append_int(column, (int32_t)get32(value)) : 1;
    case DBP_INT8:
        return length == 8 ? append_int(column, (int64_t)get64(value)) : 1;
    case DBP_OID:
        return length == 4 ? append_int(column, get32(value)) : 1;
    case DBP_FLOAT4: {
        if (length != 4)
            return 1;
        uint32_t bits = get32(value);
        float single;
        memcpy(&single, &bits, 4);
        double number = (double)single;
        return append(column, &number, 8);
    }
    case DBP_FLOAT8: {
        if (length != 8)
            return 1;
        uint64_t bits = get64(value);
        return append(column, &bits, 8);
    }
    case DBP_TEXT:
    case DBP_BYTEA:
        return append_sized(column, value, length);
    case DBP_DATE:
        return length == 4 ? append_date(column, (int32_t)get32(value)) : 1;
    case DBP_TIMESTAMP:
        return length == 8 ? append_timestamp(column, (int64_t)get64(value)) : 1;
    case DBP_UUID:
        return length == 16 ? append(column, value, 16) : 1;
    case DBP_NUMERIC:
        return append_numeric(column, value, length);
    default:
        return 1;
    }
}

static int start_column(dbp_column *column, int32_t rows, int32_t kind)
{
    column->odd = 0;
    column->kind = kind;
    column->size = 0;
    if (rows > column->rows_room) {
        uint8_t *missing = realloc(column->missing, (size_t)rows);
        if (missing == NULL)
            return -1;
        column->missing = missing;
        column->rows_room = rows;
    }
    return 0;
}

/* The rows [first, last) of one result, one column; `at` is where they go. Returns the bytes, -1 without memory. */
static int64_t decode_column(dbp_column *column, const PGresult *result, int number, int32_t first, int32_t last,
                             int32_t at)
{
    int64_t bytes = 0;
    if (PQfformat(result, number) != 1 && column->kind != DBP_TEXT)
        column->odd = 1;
    for (int32_t row = first; row < last; row++, at++) {
        column->missing[at] = (uint8_t)PQgetisnull(result, row, number);
        if (column->missing[at])
            continue;
        int length = PQgetlength(result, row, number);
        bytes += length;
        if (column->odd)
            continue;
        int outcome = append_value(column, PQgetvalue(result, row, number), length);
        if (outcome < 0)
            return -1;
        column->odd = outcome;
    }
    return bytes;
}

static int prepare(dbp_block *block, int32_t count, int32_t ncolumns)
{
    if (count > block->counts_room) {
        int32_t *counts = realloc(block->counts, (size_t)count * sizeof *counts);
        if (counts == NULL)
            return -1;
        block->counts = counts;
        block->counts_room = count;
    }
    if (ncolumns > block->columns_room) {
        dbp_column *columns = realloc(block->columns, (size_t)ncolumns * sizeof *columns);
        if (columns == NULL)
            return -1;
        memset(columns + block->columns_room, 0, (size_t)(ncolumns - block->columns_room) * sizeof *columns);
        block->columns = columns;
        block->columns_room = ncolumns;
    }
    block->ncolumns = ncolumns;
    block->largest = 0;
    return 0;
}

/* Decodes the results at these numbers (int32; NULL: the first ones) one behind the other; of a single one, `max_rows`
 * rows from `first_row` on (0 for all of them). Returns the rows, -1 without memory, -2 if a result has not `ncolumns` columns. */
int32_t dbp_decode(dbp_block *block, PGresult *const *results, const void *numbers, int32_t count, int32_t first_row,
                   int32_t max_rows, int32_t ncolumns, const int32_t *kinds)
{
    const int32_t *steps = numbers;
    if (prepare(block, count, ncolumns) < 0)
        return -1;
    int64_t total = 0;
    block->single = 1;
    block->odd = 0;
    for (int32_t i = 0; i < count; i++) {
        const PGresult *result = results[steps ? steps[i] : i];
        if (result == NULL || PQnfields(result) != ncolumns)
            return -2;
        int32_t rows = PQntuples(result) - first_row;
        rows = rows < 0 ? 0 : rows;
        block->counts[i] = max_rows > 0 && rows > max_rows ? max_rows : rows;
        total += block->counts[i];
        if (block->counts[i] != 1)
            block->single = 0;
    }
    if (total > INT32_MAX)
        return -1;
    for (int32_t c = 0; c < ncolumns; c++)
        if (start_column(block->columns + c, (int32_t)total, kinds[c]) < 0)
            return -1;
    int32_t at = 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t bytes = 0;
        for (int32_t c = 0; c < ncolumns; c++) {
            int64_t own = decode_column(block->columns + c, results[steps ? steps[i] : i], c, first_row,
                                        first_row + block->counts[i], at);
            if (own < 0)
                return -1;
            bytes += own;
        }
        if (bytes > block->largest)
            block->largest = bytes;
        at += block->counts[i];
    }
    for (int32_t c = 0; c < ncolumns; c++)
        block->odd |= block->columns[c].odd;
    block->rows = (int32_t)total;
    return (int32_t)total;
}

/* Decodes one result in slices of `rows` rows, one in each block. Returns 0, or the first error of dbp_decode. */
int32_t dbp_decode_slices(dbp_block *const *blocks, int32_t count, PGresult *result, int32_t rows, int32_t ncolumns,
                          const int32_t *kinds)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t found = dbp_decode(blocks[i], &result, NULL, 1, i * rows, rows, ncolumns, kinds);
        if (found < 0)
            return found;
    }
    return 0;
}
