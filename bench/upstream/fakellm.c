/*
 * fakellm - a fake LLM API for load tests: one thread, epoll, almost no CPU.
 *
 *   fakellm -p PORT -d BODYDIR [-s TLSPORT -A TLSADDR -c CERTCHAIN -k KEY]
 *
 * POST any path: one that holds "/messages" is answered in Anthropic's shape, any other in OpenAI's.
 * The request body picks the answer:
 *   (nothing)        one JSON completion with usage
 *   "stream": true   a burst of SSE events, one HTTP chunk per event, usage and terminal event included
 *   "drip-N-MS"      N SSE events, one each MS milliseconds; each holds the moment it was written
 *   "bigresp"        one large JSON body
 * A marker may stand in the first 4096 or the last 1024 bytes of the body (the "user" field, say).
 * GET /_stats: counters as JSON. Any other GET: a list of models.
 *
 * The whole request body is read before the answer is written. No pipelining. Loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"

#define READ_SIZE (256 * 1024)
#define HEAD_MAX 32768      /* bytes of a request head */
#define FRONT_MAX 4096      /* first bytes of a body that are kept to look for a marker */
#define BACK_MAX 1024       /* last bytes */
#define WHEEL 16384         /* slots of 1 ms: the longest interval is 16 s */

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, ANSWER };

struct conn {
    int fd, is_get, is_stats, close_after, want_out;
    enum state state;
    enum api api;
    SSL *ssl;                           /* NULL: plain */
    char *head; size_t head_len;
    uint64_t remain;                    /* bytes left of the body, or of its current chunk */
    char size_line[24]; int line_len;
    char *front; size_t front_len;
    char *back; size_t back_len;
    const char *out; size_t out_len; char *out_own;     /* what waits to be written; out_own is freed after */
    int events_left, interval_ms, events_total;
    struct conn *next, *prev; int slot; /* place on the wheel; slot -1: none */
};

static int ep;
static char read_buf[READ_SIZE];
static struct answers answers;
static struct conn *wheel[WHEEL];
static uint64_t wheel_now;              /* ms */
static long on_wheel;
static SSL_CTX *tls;
static struct { uint64_t accepts, tls_accepts, requests, body_bytes, events, stalls, aborted, active; } stats;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

/* ------------------------------------------------------------------------------------- connections */
static void wheel_remove(struct conn *c)
{
    if (c->slot < 0) return;
    if (c->prev) c->prev->next = c->next; else wheel[c->slot] = c->next;
    if (c->next) c->next->prev = c->prev;
    c->slot = -1;
    c->next = c->prev = NULL;
    on_wheel--;
}

static void wheel_add(struct conn *c, uint64_t at_ms)
{
    c->slot = at_ms % WHEEL;
    c->prev = NULL;
    c->next = wheel[c->slot];
    if (c->next) c->next->prev = c;
    wheel[c->slot] = c;
    on_wheel++;
}

static void conn_close(struct conn *c)
{
    if (c->state == ANSWER) stats.aborted++;
    wheel_remove(c);
    if (c->ssl) SSL_free(c->ssl);
    close(c->fd);
    free(c->head); free(c->front); free(c->back); free(c->out_own); free(c);
    stats.active--;
}

static void conn_accept(int listener, int is_tls)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->slot = -1;
        c->head = malloc(HEAD_MAX);
        c->front = malloc(FRONT_MAX + 1);
        c->back = malloc(BACK_MAX + 1);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (is_tls) {
            c->ssl = SSL_new(tls);
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl);
            stats.tls_accepts++;
        }
        stats.accepts++;
        stats.active++;
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static void want_out(struct conn *c, int on)
{
    if (c->want_out == on) return;
    struct epoll_event e = { .events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->want_out = on;
}

static ssize_t tls_result(struct conn *c, int r)
{
    if (r > 0) return r;
    int e = SSL_get_error(c->ssl, r);
    return e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
}

/* Both return the number of bytes, 0 when it would block, -1 when the peer is gone. */
static ssize_t conn_write(struct conn *c, const char *p, size_t n)
{
    if (c->ssl) { ERR_clear_error(); return tls_result(c, SSL_write(c->ssl, p, (int)n)); }
    ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);
    return r >= 0 ? r : errno == EAGAIN ? 0 : -1;
}

static ssize_t conn_read(struct conn *c, char *p, size_t n)
{
    if (c->ssl) { ERR_clear_error(); return tls_result(c, SSL_read(c->ssl, p, (int)n)); }
    ssize_t r = recv(c->fd, p, n, 0);
    return r > 0 ? r : r < 0 && errno == EAGAIN ? 0 : -1;
}

/* ----------------------------------------------------------------------------------------- answers
 * From here on functions return 0 when all is well (output may wait) and -1 when the connection is to
 * be closed by the caller. */
static int answer_done(struct conn *c)
{
    c->state = HEAD;
    c->head_len = 0;
    return c->close_after ? -1 : 0;
}

static int flush(struct conn *c)
{
    while (c->out_len) {
        ssize_t r = conn_write(c, c->out, c->out_len);
        if (r < 0) return -1;
        if (r == 0) { want_out(c, 1); return 0; }
        c->out += r;
        c->out_len -= r;
    }
    want_out(c, 0);
    free(c->out_own);
    c->out_own = NULL;
    return c->state == ANSWER && c->slot < 0 ? answer_done(c) : 0;
}

static int send_answer(struct conn *c, const struct answer *a)
{
    c->out = a->p;
    c->out_len = a->n;
    return flush(c);
}

static int send_owned(struct conn *c, char *p, size_t n)
{
    c->out = c->out_own = p;
    c->out_len = n;
    return flush(c);
}

static int send_stats(struct conn *c)
{
    char body[512], *out = malloc(1024);
    int n = sprintf(body, "{\"accepts\":%lu,\"tls_accepts\":%lu,\"requests\":%lu,\"body_bytes\":%lu,\"events\":%lu,"
                          "\"stalls\":%lu,\"aborted\":%lu,\"active\":%lu}\n",
                    stats.accepts, stats.tls_accepts, stats.requests, stats.body_bytes, stats.events, stats.stalls,
                    stats.aborted, stats.active);
    return send_owned(c, out, sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                           "Content-Length: %d\r\n\r\n%s", n, body));
}

static int slow_start(struct conn *c)
{
    char *b = malloc(2 * EVENT_MAX);
    size_t n = slow_head(b, c->api);
    c->events_total = c->events_left;
    n += slow_event(b + n, c->api, 0, 0, now_ns());
    c->events_left--;
    stats.events++;
    wheel_add(c, wheel_now + 1 + rand() % c->interval_ms);  /* the phases of many streams are spread */
    return send_owned(c, b, n);
}

/* One event that is due; the connection is off the wheel here. */
static int slow_step(struct conn *c)
{
    if (c->out_len) { stats.stalls++; wheel_add(c, wheel_now + 1); return 0; }
    char b[EVENT_MAX];
    int final = c->events_left == 0;
    size_t n = slow_event(b, c->api, final, c->events_total, now_ns());
    if (!final) { c->events_left--; stats.events++; wheel_add(c, wheel_now + c->interval_ms); }
    ssize_t r = conn_write(c, b, n);
    if (r < 0) return -1;
    if ((size_t)r < n) {
        char *rest = malloc(n - r);
        memcpy(rest, b + r, n - r);
        return send_owned(c, rest, n - r);
    }
    return final ? answer_done(c) : 0;
}

static void wheel_run(void)
{
    uint64_t now = now_ns() / 1000000;
    while (wheel_now < now) {
        wheel_now++;
        struct conn *c = wheel[wheel_now % WHEEL], *next;
        for (; c; c = next) {
            next = c->next;
            wheel_remove(c);
            if (slow_step(c) < 0) conn_close(c);
        }
    }
}

/* ---------------------------------------------------------------------------------------- requests */
static int respond(struct conn *c)
{
    c->state = ANSWER;
    stats.requests++;
    if (c->is_stats) return send_stats(c);
    if (c->is_get) return send_answer(c, &answers.models);
    const char *area[2] = { c->front, c->back };
    size_t len[2] = { c->front_len, c->back_len };
    int big = 0, stream = 0;
    for (int i = 0; i < 2; i++) {
        if (!len[i]) continue;
        char *slow = memmem(area[i], len[i], "\"drip-", 6);
        int n, ms;
        if (slow && sscanf(slow + 6, "%d-%d", &n, &ms) == 2 && n > 0 && ms > 0 && ms < WHEEL) {
            c->events_left = n;
            c->interval_ms = ms;
            return slow_start(c);
        }
        big |= memmem(area[i], len[i], "\"bigresp\"", 9) != NULL;
        char *s = memmem(area[i], len[i], "\"stream\"", 8);
        if (s) {
            for (s += 8; *s == ':' || *s == ' '; s++) {}
            stream |= !strncmp(s, "true", 4);
        }
    }
    return send_answer(c, big ? &answers.big : stream ? &answers.sse[c->api] : &answers.json[c->api]);
}

/* Keeps the body's first and last bytes; the rest is only counted. */
static void note_body(struct conn *c, const char *p, size_t n)
{
    stats.body_bytes += n;
    if (c->front_len < FRONT_MAX) {
        size_t k = FRONT_MAX - c->front_len < n ? FRONT_MAX - c->front_len : n;
        memcpy(c->front + c->front_len, p, k);
        c->front_len += k;
        c->front[c->front_len] = 0;
    }
    size_t fresh = n < BACK_MAX ? n : BACK_MAX;
    size_t keep = c->back_len + fresh > BACK_MAX ? BACK_MAX - fresh : c->back_len;
    memmove(c->back, c->back + c->back_len - keep, keep);
    memcpy(c->back + keep, p + n - fresh, fresh);
    c->back_len = keep + fresh;
    c->back[c->back_len] = 0;
}

static int parse_head(struct conn *c)
{
    char *p, *eol;
    int chunked = 0;
    c->head[c->head_len] = 0;
    c->is_get = !strncmp(c->head, "GET ", 4) || !strncmp(c->head, "HEAD ", 5);
    eol = strstr(c->head, "\r\n");
    *eol = 0;
    c->is_stats = strstr(c->head, "/_stats") != NULL;
    c->api = strstr(c->head, "/messages") ? API_ANTHROPIC : API_OPENAI;
    c->close_after = strstr(c->head, "HTTP/1.0") != NULL;
    c->remain = c->front_len = c->back_len = 0;
    for (p = eol + 2; *p && *p != '\r'; p = eol + 2) {
        eol = strstr(p, "\r\n");
        if (!eol) break;
        *eol = 0;
        if (!strncasecmp(p, "content-length:", 15)) c->remain = strtoull(p + 15, NULL, 10);
        else if (!strncasecmp(p, "transfer-encoding:", 18)) chunked = strcasestr(p, "chunked") != NULL;
        else if (!strncasecmp(p, "connection:", 11) && strcasestr(p, "close")) c->close_after = 1;
        else if (!strncasecmp(p, "expect:", 7) && conn_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0) return -1;
    }
    c->line_len = 0;
    if (chunked) c->state = CHUNK_SIZE;
    else if (c->remain) c->state = BODY;
    else return respond(c);
    return 0;
}

/* Takes bytes of the head; returns how many were used, or -1. */
static ssize_t feed_head(struct conn *c, const char *p, size_t n)
{
    size_t from = c->head_len > 3 ? c->head_len - 3 : 0;
    size_t k = HEAD_MAX - 1 - c->head_len < n ? HEAD_MAX - 1 - c->head_len : n;
    memcpy(c->head + c->head_len, p, k);
    char *end = memmem(c->head + from, c->head_len + k - from, "\r\n\r\n", 4);
    if (!end) {
        c->head_len += k;
        return c->head_len >= HEAD_MAX - 1 ? -1 : (ssize_t)k;
    }
    size_t used = end + 4 - c->head - c->head_len;
    c->head_len += used;
    return parse_head(c) < 0 ? -1 : (ssize_t)used;
}

/* Takes one byte of a chunked body's framing. */
static int feed_framing(struct conn *c, char b)
{
    if (b != '\n') {
        if (c->state == TRAILER && b != '\r') c->line_len++;
        else if (c->state == CHUNK_SIZE && c->line_len < 20) c->size_line[c->line_len++] = b;
        return 0;
    }
    int empty = c->line_len == 0;
    if (c->state == CHUNK_SIZE) {
        c->size_line[c->line_len] = 0;
        c->remain = strtoull(c->size_line, NULL, 16);
        c->state = c->remain ? CHUNK_DATA : TRAILER;
    } else if (c->state == CHUNK_END) {
        c->state = CHUNK_SIZE;
    } else if (empty) {
        return respond(c);
    }
    c->line_len = 0;
    return 0;
}

static int feed(struct conn *c, const char *p, size_t n)
{
    while (n) {
        ssize_t used = 1;
        if (c->state == HEAD) {
            if ((used = feed_head(c, p, n)) < 0) return -1;
        } else if (c->state == BODY || c->state == CHUNK_DATA) {
            used = n < c->remain ? n : c->remain;
            note_body(c, p, used);
            c->remain -= used;
            if (!c->remain && c->state == BODY) { if (respond(c) < 0) return -1; }
            else if (!c->remain) { c->state = CHUNK_END; c->line_len = 0; }
        } else if (c->state == ANSWER || feed_framing(c, *p) < 0) {
            return -1;
        }
        p += used;
        n -= used;
    }
    return 0;
}

static void on_readable(struct conn *c)
{
    for (int i = 0; i < 64; i++) {
        ssize_t r = conn_read(c, read_buf, sizeof read_buf);
        if (r == 0) return;
        if (r < 0 || feed(c, read_buf, r) < 0) { conn_close(c); return; }
        if (!c->ssl && r < READ_SIZE) return;
    }
}

static int listen_on(const char *addr, int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, addr, &a.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&a, sizeof a) || listen(fd, 4096)) die("listen");
    return fd;
}

static void start_tls(const char *cert, const char *key)
{
    tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 || SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *dir = ".", *tls_addr = "127.0.0.1", *cert = NULL, *key = NULL;
    int port = 0, tls_port = 0, o, tls_fd = -1;
    while ((o = getopt(argc, argv, "p:d:s:A:c:k:")) != -1) switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'd': dir = optarg; break;
        case 's': tls_port = atoi(optarg); break;
        case 'A': tls_addr = optarg; break;
        case 'c': cert = optarg; break;
        case 'k': key = optarg; break;
        default: return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    load_answers(&answers, dir);
    ep = epoll_create1(0);
    int fd = listen_on("127.0.0.1", port);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = &fd };
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    if (tls_port) {
        start_tls(cert, key);
        tls_fd = listen_on(tls_addr, tls_port);
        e.data.ptr = &tls_fd;
        epoll_ctl(ep, EPOLL_CTL_ADD, tls_fd, &e);
    }
    wheel_now = now_ns() / 1000000;
    static struct epoll_event events[512];
    for (;;) {
        /* The wheel may close connections: it runs before a batch of events is fetched, never within one. */
        if (on_wheel) wheel_run(); else wheel_now = now_ns() / 1000000;
        int n = epoll_wait(ep, events, 512, on_wheel ? 1 : -1);
        if (!on_wheel) wheel_now = now_ns() / 1000000;
        for (int i = 0; i < n; i++) {
            void *p = events[i].data.ptr;
            if (p == &fd || p == &tls_fd) { conn_accept(*(int *)p, p == &tls_fd); continue; }
            struct conn *c = p;
            if (events[i].events & EPOLLOUT && flush(c) < 0) { conn_close(c); continue; }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
        }
    }
}
