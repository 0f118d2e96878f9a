/*
 * streams - opens N streamed LLM calls at once and times every SSE event.
 *
 *   streams -p PORT -n N -e EVENTS -i MS [-r RAMP_MS] [-t TIMEOUT_S] [-P PATH] -B BODYFILE
 *
 * Each call is one POST of BODYFILE in which "bench-user" is replaced by "drip-EVENTS-MS" (see fakellm.c),
 * on a connection of its own; the openings are spread over RAMP_MS. Prints one JSON line: calls done and
 * failed, the most that were open at once, events seen, time to the first body byte from the request, and
 * the delay of each event from the stamp in it, as percentiles in microseconds. Loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE 65536
#define STAMP 19                /* digits between two @ */
#define TAIL 40                 /* bytes kept between reads: holds any unfinished stamp or end mark */
static const char END_MARK[] = "[DONE]";

/* ------------------------------------------------------------------------------------- percentiles
 * A histogram with 64 buckets for each power of two: exact below 64, else within 1.6 %. */
#define SUB 64
#define BUCKETS (64 * SUB)
struct histogram { uint64_t n, max, count[BUCKETS]; double sum; };

static int bucket_of(uint64_t v)
{
    if (v < SUB) return v;
    int e = 63 - __builtin_clzll(v);
    return (e - 5) * SUB + ((v >> (e - 6)) - SUB);
}

static uint64_t value_of(int b)
{
    return b < SUB ? (uint64_t)b : (uint64_t)(SUB + b % SUB) << (b / SUB - 1);
}

static void note(struct histogram *h, uint64_t v)
{
    h->n++;
    h->sum += v;
    if (v > h->max) h->max = v;
    h->count[bucket_of(v)]++;
}

static uint64_t percentile(struct histogram *h, double p)
{
    uint64_t want = p / 100 * h->n, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += h->count[i]) > want) return value_of(i);
    return h->max;
}

static void show(const char *name, struct histogram *h)
{
    printf("\"%s\":{\"n\":%lu,\"mean\":%.0f,\"p50\":%lu,\"p90\":%lu,\"p99\":%lu,\"p999\":%lu,\"max\":%lu}", name, h->n,
           h->n ? h->sum / h->n : 0, percentile(h, 50), percentile(h, 90), percentile(h, 99), percentile(h, 99.9), h->max);
}

/* ------------------------------------------------------------------------------------- connections */
enum state { CONNECT, SEND, HEAD, BODY, DONE };
struct conn { int fd, tail_len, got_body; enum state state; uint64_t started; size_t sent; char tail[TAIL]; uint32_t window; };

static struct histogram delay, first_byte, whole;
static char *request;
static size_t request_len;
static int ep, done, failed;
static uint64_t events, bytes;
static char first_bad[256];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void finish(struct conn *c, int ok)
{
    c->state = DONE;
    close(c->fd);
    done++;
    if (ok) note(&whole, (now_ns() - c->started) / 1000); else failed++;
}

static void on_body(struct conn *c, const char *p, size_t n)
{
    static char buf[READ_SIZE + TAIL];
    uint64_t now = now_ns();
    if (!c->got_body) { c->got_body = 1; note(&first_byte, (now - c->started) / 1000); }
    bytes += n;
    memcpy(buf, c->tail, c->tail_len);
    memcpy(buf + c->tail_len, p, n);
    char *end = buf + c->tail_len + n, *used = buf, *q = buf;
    while ((q = memchr(q, '@', end - q)) && end - q >= STAMP + 2) {
        if (q[STAMP + 1] != '@') { q++; continue; }
        uint64_t stamp = strtoull(q + 1, NULL, 10);
        if (stamp && stamp <= now) { note(&delay, (now - stamp) / 1000); events++; }
        used = q += STAMP + 2;
    }
    if (memmem(used, end - used, END_MARK, strlen(END_MARK))) { finish(c, 1); return; }
    if (end - used > TAIL) used = end - TAIL;
    c->tail_len = end - used;
    memcpy(c->tail, used, c->tail_len);
}

static void on_readable(struct conn *c)
{
    static char b[READ_SIZE];
    for (;;) {
        ssize_t r = recv(c->fd, b, sizeof b, 0);
        if (r < 0 && errno == EAGAIN) return;
        if (r <= 0) { finish(c, 0); return; }
        char *p = b, *end = b + r;
        if (c->state == HEAD) {
            if (!c->window && strncmp(b, "HTTP/1.1 200", r < 12 ? r : 12) && !first_bad[0])
                memcpy(first_bad, b, r < (ssize_t)sizeof first_bad - 1 ? r : (ssize_t)sizeof first_bad - 1);
            while (p < end && c->window != 0x0d0a0d0a) c->window = c->window << 8 | (uint8_t)*p++;
            if (c->window == 0x0d0a0d0a) c->state = BODY;
        }
        if (p < end) on_body(c, p, end - p);
        if (c->state == DONE || r < (ssize_t)sizeof b) return;
    }
}

static void on_writable(struct conn *c)
{
    int one = 1;
    if (c->state == CONNECT) {
        int e;
        socklen_t l = sizeof e;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e) { finish(c, 0); return; }
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->state = SEND;
        c->started = now_ns();
    }
    while (c->sent < request_len) {
        ssize_t r = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
        if (r < 0 && errno == EAGAIN) return;
        if (r < 0) { finish(c, 0); return; }
        c->sent += r;
    }
    c->state = HEAD;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void open_one(struct conn *c, const struct sockaddr_in *to)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    c->started = now_ns();
    if (c->fd < 0 || (connect(c->fd, (const void *)to, sizeof *to) && errno != EINPROGRESS)) { finish(c, 0); return; }
    struct epoll_event e = { .events = EPOLLOUT, .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void make_request(const char *path, int port, const char *body_file, int n_events, int interval_ms)
{
    static const char PLACE[] = "bench-user";
    FILE *f = fopen(body_file, "rb");
    if (!f) { perror(body_file); exit(1); }
    fseek(f, 0, SEEK_END);
    size_t k = ftell(f);
    rewind(f);
    char *raw = calloc(k + 1, 1), *body = malloc(k + 64);
    if (fread(raw, 1, k, f) != k) { perror(body_file); exit(1); }
    fclose(f);
    char *at = strstr(raw, PLACE);
    if (!at) { fprintf(stderr, "%s: no %s in it\n", body_file, PLACE); exit(1); }
    size_t body_len = sprintf(body, "%.*sdrip-%d-%d%s", (int)(at - raw), raw, n_events, interval_ms, at + strlen(PLACE));
    request = malloc(body_len + 1024);
    request_len = sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: bench/1\r\n"
                          "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
                          "Authorization: Bearer sk-placeholder\r\nContent-Length: %zu\r\n\r\n", path, port, body_len);
    memcpy(request + request_len, body, body_len);
    request_len += body_len;
    free(raw);
    free(body);
}

int main(int argc, char **argv)
{
    const char *path = "/v1/chat/completions", *body_file = "";
    int port = 0, n = 1, n_events = 10, interval_ms = 100, ramp_ms = 0, timeout_s = 60, o;
    while ((o = getopt(argc, argv, "p:n:e:i:r:t:P:B:")) != -1) switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'n': n = atoi(optarg); break;
        case 'e': n_events = atoi(optarg); break;
        case 'i': interval_ms = atoi(optarg); break;
        case 'r': ramp_ms = atoi(optarg); break;
        case 't': timeout_s = atoi(optarg); break;
        case 'P': path = optarg; break;
        case 'B': body_file = optarg; break;
        default: return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_request(path, port, body_file, n_events, interval_ms);
    ep = epoll_create1(0);
    struct conn *conns = calloc(n, sizeof *conns);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int opened = 0, peak = 0;
    uint64_t start = now_ns();
    static struct epoll_event ready[1024];
    while (done < n) {
        double ms = (now_ns() - start) / 1e6;
        if (ms > timeout_s * 1000.0) break;
        int want = ramp_ms && ms < ramp_ms ? (int)(ms / ramp_ms * n) + 1 : n;
        for (int k = 0; opened < want && opened < n && k < 64; k++) open_one(&conns[opened++], &to);
        if (opened - done > peak) peak = opened - done;
        int k = epoll_wait(ep, ready, 1024, opened < n ? 1 : 200);
        for (int i = 0; i < k; i++) {
            struct conn *c = ready[i].data.ptr;
            if (c->state == DONE) continue;
            if (c->state <= SEND) on_writable(c); else on_readable(c);
        }
    }
    printf("{\"n\":%d,\"ok\":%lu,\"failed\":%d,\"unfinished\":%d,\"peak\":%d,\"wall_s\":%.3f,\"events\":%lu,"
           "\"expected\":%lu,\"bytes\":%lu,", n, whole.n, failed, n - done, peak, (now_ns() - start) / 1e9, events,
           (uint64_t)n * n_events, bytes);
    show("ttfb_us", &first_byte);
    printf(",");
    show("lat_us", &delay);
    printf("}\n");
    if (first_bad[0]) fprintf(stderr, "first bad answer: %s\n", first_bad);
    return 0;
}
