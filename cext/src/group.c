/* Sending a group, and taking its results as they arrive. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

dbp_group *dbp_group_new(PGconn *conn)
{
    dbp_group *group = calloc(1, sizeof *group);
    if (group != NULL)
        group->conn = conn;
    return group;
}

static void clear_results(dbp_group *group)
{
    for (int32_t i = 0; i < group->count; i++)
        PQclear(group->results[i]);
    group->count = 0;
    group->most = 0;
}

/* Frees the results; the connection is the caller's. */
void dbp_group_free(dbp_group *group)
{
    if (group == NULL)
        return;
    clear_results(group);
    free(group->results);
    free(group->statuses);
    free(group);
}

/* Forgets the results of the group before. */
void dbp_group_start(dbp_group *group, int32_t expected)
{
    clear_results(group);
    group->expected = expected;
}

static int grow(dbp_group *group)
{
    int32_t room = group->room ? group->room * 2 : 128;
    PGresult **results = realloc(group->results, (size_t)room * sizeof *results);
    if (results == NULL)
        return -1;
    group->results = results;
    int32_t *statuses = realloc(group->statuses, (size_t)room * sizeof *statuses);
    if (statuses == NULL)
        return -1;
    group->statuses = statuses;
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
    group->results[group->count] = result;
    group->statuses[group->count++] = (int32_t)PQresultStatus(result);
    return 0;
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
            return group->count == group->expected + 1 ? DBP_ENDED : DBP_TROUBLE;
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

/* Whether these steps have one and the same command tag. */
int32_t dbp_group_same_tags(const dbp_group *group, const int32_t *steps, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (steps[i] < 0 || steps[i] >= group->count || group->results[steps[i]] == NULL ||
            strcmp(PQcmdStatus(group->results[steps[0]]), PQcmdStatus(group->results[steps[i]])) != 0)
            return 0;
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

static int32_t send_all(PGconn *conn, const char *name, int result_format, int32_t count, int32_t nparams,
                        const int *formats, const int *lengths, const char *data, const char *end,
                        const char **values)
{
    for (int32_t sent = 0; sent < count; sent++) {
        const int *own = lengths + (size_t)sent * (size_t)nparams;
        for (int32_t i = 0; i < nparams; i++) {
            if (own[i] < 0) {
                values[i] = NULL;
                continue;
            }
            if (own[i] > end - data)
                return sent;
            values[i] = data;
            data += own[i];
            if (data < end)
                data++; /* the NUL between two values */
        }
        if (!PQsendQueryPrepared(conn, name, nparams, values, own, formats, result_format))
            return sent;
    }
    return count;
}

/* Sends `count` executions of a prepared statement. `data` holds all values one after the other, a NUL behind each;
 * `lengths` one length for each parameter of each execution, -1 for NULL. Returns how many were sent. */
int32_t dbp_send(PGconn *conn, const char *name, int32_t result_format, int32_t count, int32_t nparams,
                 const int *formats, const int *lengths, const char *data, int64_t size)
{
    const char *few[16];
    const char **values = few;
    if (nparams > 16 && (values = malloc((size_t)nparams * sizeof *values)) == NULL)
        return 0;
    int32_t sent =
        send_all(conn, name, result_format, count, nparams, formats, lengths, data, data + size, values);
    if (values != few)
        free(values);
    return sent;
}
