/* Sending a group, and taking its results as they arrive. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* `block` is where groups of one text are decoded whose results have at most so many rows and so much memory. */
dbp_group *dbp_group_new(PGconn *conn, dbp_block *block, int32_t most_rows, int64_t most_memory)
{
    dbp_group *group = calloc(1, sizeof *group);
    if (group != NULL) {
        group->conn = conn;
        group->block = block;
        group->most_rows = most_rows;
        group->most_memory = most_memory;
    }
    return group;
}

static void clear_results(dbp_group *group)
{
    for (int32_t i = 0; i < group->count; i++)
        PQclear(group->results[i]);
    group->count = 0;
    group->most = 0;
    group->largest = 0;
}

/* Frees the results; the connection is the caller's. */
void dbp_group_free(dbp_group *group)
{
    if (group == NULL)
        return;
    clear_results(group);
    free(group->results);
    free(group);
}

/* Forgets the results of the group before. */
void dbp_group_start(dbp_group *group, int32_t expected)
{
    clear_results(group);
    group->ahead = 0;
    group->expected = expected;
    group->text = NULL;
}

static int grow(dbp_group *group)
{
    int32_t room = group->room ? group->room * 2 : 128;
    PGresult **results = realloc(group->results, (size_t)room * sizeof *results);
    if (results == NULL)
        return -1;
    group->results = results;
    group->room = room;
    return 0;
}

static int keep(dbp_group *group, PGresult *result)
{
    if (group->count == group->room && grow(group) < 0) {
        PQclear(result);
        return -1;
    }
    int32_t rows = PQntuples(result);
    if (rows > group->most)
        group->most = rows;
    if (rows > 1 || (rows == 1 && PQnfields(result) > 1)) { /* what can be decoded in pieces */
        int64_t memory = (int64_t)PQresultMemorySize(result);
        if (memory > group->largest)
            group->largest = memory;
    }
    group->results[group->count++] = result;
    return 0;
}

/* The Sync was answered. */
static int32_t synced(dbp_group *group)
{
    if (group->count != group->expected + 1)
        return DBP_TROUBLE;
    const dbp_text *text = group->text;
    if (text == NULL || group->most > group->most_rows || group->largest > group->most_memory)
        return DBP_ENDED;
    int32_t rows = dbp_decode(group->block, group->results, NULL, group->expected, 0, 0, text->ncolumns, text->kinds);
    return rows < 0 || group->block->odd ? DBP_ENDED : DBP_DECODED;
}

/* Takes every result that has arrived, up to the group's Sync or to the first that is no success. */
int32_t dbp_group_pump(dbp_group *group)
{
    int ended = 0;
    while (!PQisBusy(group->conn)) {
        PGresult *result = PQgetResult(group->conn);
        if (result == NULL) { /* the end of one statement's results; twice: there is no more */
            if (ended)
                break;
            ended = 1;
            continue;
        }
        ended = 0;
        if (group->ahead > 0 && PQresultStatus(result) == PGRES_COMMAND_OK) {
            group->ahead--;
            PQclear(result);
            continue;
        }
        if (keep(group, result) < 0)
            return DBP_NO_MEMORY;
        switch (PQresultStatus(result)) {
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY:
            if (group->count > group->expected)
                return DBP_TROUBLE;
            break;
        case PGRES_PIPELINE_SYNC:
            return synced(group);
        default:
            return DBP_TROUBLE;
        }
    }
    return PQstatus(group->conn) == CONNECTION_BAD ? DBP_LOST : DBP_WAITING;
}

/* Reads what has arrived, then the same. */
int32_t dbp_group_read(dbp_group *group)
{
    return PQconsumeInput(group->conn) ? dbp_group_pump(group) : DBP_LOST;
}

/* Whether these steps (int32; NULL: the first ones) have one and the same command tag. */
int32_t dbp_group_same_tags(const dbp_group *group, const void *numbers, int32_t count)
{
    const int32_t *steps = numbers;
    const char *tag = NULL;
    for (int32_t i = 0; i < count; i++) {
        int32_t step = steps ? steps[i] : i;
        if (step < 0 || step >= group->count || group->results[step] == NULL)
            return 0;
        const char *own = PQcmdStatus(group->results[step]);
        if (tag != NULL && strcmp(tag, own) != 0)
            return 0;
        tag = own;
    }
    return 1;
}

/* Hands a result over to the caller. */
PGresult *dbp_group_take(dbp_group *group, int32_t step)
{
    if (step < 0 || step >= group->count)
        return NULL;
    PGresult *result = group->results[step];
    group->results[step] = NULL;
    return result;
}

/* Where the values of one execution are, in `data` and before `end`; returns what is behind them, NULL if they are
 * not all there. `lengths` as for dbp_send, those of this execution first. */
static const char *place(const dbp_text *text, const int32_t *lengths, const char *data, const char *end,
                         const char **values, int *sizes)
{
    for (int32_t i = 0; i < text->nparams; i++) {
        sizes[i] = lengths ? lengths[i] : text->widths[i];
        values[i] = NULL;
        if (sizes[i] < 0)
            continue;
        if (sizes[i] > end - data)
            return NULL;
        values[i] = data;
        data += sizes[i];
        if (lengths != NULL && data < end)
            data++; /* the NUL between two values */
    }
    return data;
}

static int32_t send_all(PGconn *conn, const dbp_text *text, const char *name, int32_t count, const int32_t *lengths,
                        const char *data, const char *end, const char **values, int *sizes)
{
    for (int32_t sent = 0; sent < count; sent++) {
        data = place(text, lengths, data, end, values, sizes);
        if (data == NULL || !PQsendQueryPrepared(conn, name, text->nparams, values, sizes, text->formats,
                                                 text->result_format))
            return sent;
        if (lengths != NULL)
            lengths += text->nparams;
    }
    return count;
}

#define FEW 16

/* Sends `count` executions of a prepared statement, or of the unnamed one. `data` holds all values one after the
 * other. Without `lengths` they have the widths of the text; else there is an int32 for each value, -1 for NULL, and a
 * NUL between two values. Returns how many were sent. */
int32_t dbp_send(PGconn *conn, const dbp_text *text, int32_t named, int32_t count, const void *lengths,
                 const char *data, int64_t size)
{
    const char *few_values[FEW];
    int few_sizes[FEW];
    const char **values = few_values;
    int *sizes = few_sizes;
    if (lengths == NULL && text->widths == NULL && text->nparams > 0)
        return 0;
    if (text->nparams > FEW) {
        values = malloc((size_t)text->nparams * sizeof *values);
        sizes = malloc((size_t)text->nparams * sizeof *sizes);
    }
    int32_t sent = 0;
    if (values != NULL && sizes != NULL)
        sent = send_all(conn, text, named ? text->name : "", count, lengths, data, data + size, values, sizes);
    if (text->nparams > FEW) {
        free(values);
        free(sizes);
    }
    return sent;
}

/* Sends a group that consists of executions of one prepared statement, and its Sync; rows are decoded when they are
 * there, if `decode`. Returns 0, 1 if some is left to write, or -1 if the connection broke. */
int32_t dbp_group_send(dbp_group *group, const dbp_text *text, int32_t decode, int32_t count, const void *lengths,
                       const char *data, int64_t size)
{
    dbp_group_start(group, count);
    group->text = decode ? text : NULL;
    if (dbp_send(group->conn, text, 1, count, lengths, data, size) != count || !PQpipelineSync(group->conn))
        return -1;
    return PQflush(group->conn);
}
