/*
 * A proxy that makes a server seem far away: every byte arrives half a round trip later, in both directions.
 *
 *     delay_proxy DELAY_US FAMILY TARGET [PORT]      FAMILY is "unix" (TARGET: a socket's path) or "tcp"
 *
 * It listens on a free port of 127.0.0.1, prints its number, and ends when its standard input is closed. DELAY_US is one
 * way, in microseconds. Bandwidth is not limited; a direction that is full (BUFFER) is read again when there is room.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { CHUNK = 65536, BUFFER = 8 << 20 };

/* Bytes that were read at one moment; a chunk of no bytes is the end of its direction. */
struct chunk {
    struct chunk *next;
    int64_t due;
    size_t size, sent;
    char bytes[];
};

/* What was read from `from` and is to be written to `to`. */
struct direction {
    int from, to;
    struct chunk *first, **last;
    size_t held;
    int finished; /* its end was read */
    int closed;   /* its end was passed on, or cannot be */
};

/* Two directions between a client and the server. */
struct pair {
    struct pair *next;
    struct direction ways[2];
};

static int64_t delay;
static const char *family, *target, *port;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

/* A connection to the server, or -1. */
static int reach(void) {
    if (strcmp(family, "unix") == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || strlen(target) >= sizeof at.sun_path) return -1;
        strcpy(at.sun_path, target);
        if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
        close(fd);
        return -1;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *one;
    if (getaddrinfo(target, port, &hints, &found) != 0) return -1;
    int fd = -1;
    for (one = found; one != NULL && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static void prepare(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a unix socket, which needs none */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static struct pair *accept_pair(int listener, struct pair *pairs) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) return pairs;
    int server = client < FD_SETSIZE ? reach() : -1;
    if (server < 0 || server >= FD_SETSIZE) {
        if (server >= 0) close(server);
        close(client);
        return pairs;
    }
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) fail("calloc");
    prepare(client);
    prepare(server);
    for (int way = 0; way < 2; way++) {
        struct direction *d = &pair->ways[way];
        d->from = way ? server : client;
        d->to = way ? client : server;
        d->last = &d->first;
    }
    pair->next = pairs;
    return pair;
}

static int would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static void take_in(struct direction *d) {
    struct chunk *chunk = malloc(sizeof *chunk + CHUNK);
    if (chunk == NULL) fail("malloc");
    ssize_t size = read(d->from, chunk->bytes, CHUNK);
    if (size < 0 && would_block()) {
        free(chunk);
        return;
    }
    size = size < 0 ? 0 : size;
    struct chunk *fitting = realloc(chunk, sizeof *chunk + (size_t)size);
    chunk = fitting == NULL ? chunk : fitting;
    *chunk = (struct chunk){.due = now() + delay, .size = (size_t)size};
    d->finished = size == 0;
    d->held += (size_t)size;
    *d->last = chunk;
    d->last = &chunk->next;
}

/* Pass on what is due. */
static void hand_over(struct direction *d, int64_t at) {
    struct chunk *chunk;
    while ((chunk = d->first) != NULL && chunk->due <= at && !d->closed) {
        if (chunk->size == 0) {
            shutdown(d->to, SHUT_WR);
            d->closed = 1;
            return;
        }
        ssize_t size = send(d->to, chunk->bytes + chunk->sent, chunk->size - chunk->sent, MSG_NOSIGNAL);
        if (size < 0) {
            if (!would_block()) d->closed = 1;
            return;
        }
        chunk->sent += (size_t)size;
        if (chunk->sent < chunk->size) return;
        d->first = chunk->next;
        if (d->first == NULL) d->last = &d->first;
        d->held -= chunk->size;
        free(chunk);
    }
}

/* A pair is over when both ends were passed on, or one side cannot be written to any more. */
static int is_over(struct pair *pair) {
    struct direction *a = &pair->ways[0], *b = &pair->ways[1];
    return (a->closed && b->closed) || (a->closed && !a->finished) || (b->closed && !b->finished);
}

static void forget(struct pair *pair) {
    for (int way = 0; way < 2; way++) {
        struct chunk *chunk, *next;
        for (chunk = pair->ways[way].first; chunk != NULL; chunk = next) {
            next = chunk->next;
            free(chunk);
        }
        close(pair->ways[way].from);
    }
    free(pair);
}

/* What `d` waits for: bytes, room, or time; returns when its next chunk is due, if that is before `wake`. */
static int64_t watch(struct direction *d, fd_set *reads, fd_set *writes, int *most, int64_t at, int64_t wake) {
    if (!d->finished && d->held < BUFFER) {
        FD_SET(d->from, reads);
        *most = d->from > *most ? d->from : *most;
    }
    if (d->first == NULL || d->closed) return wake;
    if (d->first->due <= at) { /* it was due, and did not fit */
        FD_SET(d->to, writes);
        *most = d->to > *most ? d->to : *most;
        return wake;
    }
    return d->first->due < wake ? d->first->due : wake;
}

static void serve(int listener) {
    struct pair *pairs = NULL;
    for (;;) {
        fd_set reads, writes;
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        FD_SET(0, &reads);
        FD_SET(listener, &reads);
        int most = listener;
        int64_t at = now(), wake = INT64_MAX;
        for (struct pair *pair = pairs; pair != NULL; pair = pair->next)
            for (int way = 0; way < 2; way++) wake = watch(&pair->ways[way], &reads, &writes, &most, at, wake);
        int64_t left = wake == INT64_MAX ? 0 : wake - now();
        left = left < 0 ? 0 : left;
        struct timeval wait = {.tv_sec = (time_t)(left / 1000000), .tv_usec = (suseconds_t)(left % 1000000)};
        if (select(most + 1, &reads, &writes, NULL, wake == INT64_MAX ? NULL : &wait) < 0) {
            if (errno == EINTR) continue;
            fail("select");
        }
        if (FD_ISSET(0, &reads)) return; /* nothing is ever written to it: it was closed */
        for (struct pair **link = &pairs; *link != NULL;) {
            struct pair *pair = *link;
            for (int way = 0; way < 2; way++) {
                struct direction *d = &pair->ways[way];
                if (!d->finished && FD_ISSET(d->from, &reads)) take_in(d);
            }
            int64_t moment = now();
            for (int way = 0; way < 2; way++) hand_over(&pair->ways[way], moment);
            if (is_over(pair)) {
                *link = pair->next;
                forget(pair);
            } else {
                link = &pair->next;
            }
        }
        if (FD_ISSET(listener, &reads)) pairs = accept_pair(listener, pairs);
    }
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: %s DELAY_US unix PATH | tcp HOST PORT\n", words[0]);
        return 2;
    }
    delay = strtoll(words[1], NULL, 10);
    family = words[2];
    target = words[3];
    port = count > 4 ? words[4] : "5432";
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* an interrupt of the benchmark closes standard input */
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0); /* nanoseconds; by default waits are 50 us longer */
#endif
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) fail("socket");
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0) fail("bind");
    if (listen(listener, 256) != 0) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&at, &size) != 0) fail("getsockname");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    serve(listener);
    return 0;
}
