#define _GNU_SOURCE
#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SSE_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "x-request-id: req_fake\r\nTransfer-Encoding: chunked\r\n\r\n";

static char *slurp(const char *dir, const char *name, size_t *n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) { perror(path); exit(1); }
    fseek(f, 0, SEEK_END);
    *n = ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    if (fread(p, 1, *n, f) != *n) { perror(path); exit(1); }
    p[*n] = 0;
    fclose(f);
    return p;
}

static struct answer json_answer(const char *dir, const char *name)
{
    size_t n;
    char *body = slurp(dir, name, &n);
    struct answer a = { malloc(n + 512), 0 };
    a.n = sprintf(a.p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                       "x-request-id: req_fake\r\nopenai-processing-ms: 1\r\n\r\n", n);
    memcpy(a.p + a.n, body, n);
    a.n += n;
    free(body);
    return a;
}

static struct answer sse_answer(const char *dir, const char *name)
{
    size_t n;
    char *body = slurp(dir, name, &n), *p = body, *end;
    struct answer a = { malloc(2 * n + 4096), 0 };
    a.n = sprintf(a.p, "%s", SSE_HEAD);
    while ((end = strstr(p, "\n\n"))) {
        size_t k = end + 2 - p;
        a.n += sprintf(a.p + a.n, "%zx\r\n", k);
        memcpy(a.p + a.n, p, k);
        a.n += k;
        memcpy(a.p + a.n, "\r\n", 2);
        a.n += 2;
        p = end + 2;
    }
    memcpy(a.p + a.n, "0\r\n\r\n", 5);
    a.n += 5;
    free(body);
    return a;
}

void load_answers(struct answers *a, const char *dir)
{
    a->json[API_OPENAI] = json_answer(dir, "openai.json");
    a->json[API_ANTHROPIC] = json_answer(dir, "anthropic.json");
    a->sse[API_OPENAI] = sse_answer(dir, "openai.sse");
    a->sse[API_ANTHROPIC] = sse_answer(dir, "anthropic.sse");
    a->big = json_answer(dir, "big.json");
    a->models = json_answer(dir, "models.json");
}

static size_t chunk(char *out, const char *event, int n, int final)
{
    size_t k = sprintf(out, "%x\r\n", n);
    memcpy(out + k, event, n);
    k += n;
    return k + sprintf(out + k, final ? "\r\n0\r\n\r\n" : "\r\n");
}

size_t slow_head(char *out, enum api api)
{
    size_t n = sprintf(out, "%s", SSE_HEAD);
    if (api == API_ANTHROPIC) {
        char event[1024];
        int k = sprintf(event,
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_fake\","
            "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-20250514\",\"content\":[],"
            "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":321,"
            "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n");
        n += chunk(out + n, event, k, 0);
    }
    return n;
}

#define OPENAI_CHUNK "data: {\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\"," \
                     "\"created\":1730000000,\"model\":\"gpt-4o-mini-2024-07-18\","

size_t slow_event(char *out, enum api api, int final, int total, uint64_t now)
{
    char event[1024];
    int n;
    if (api == API_OPENAI && !final)
        n = sprintf(event, OPENAI_CHUNK "\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,"
            "\"delta\":{\"content\":\"@%019llu@\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            (unsigned long long)now);
    else if (api == API_OPENAI)
        n = sprintf(event, OPENAI_CHUNK "\"choices\":[],\"usage\":{\"prompt_tokens\":321,"
            "\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", total, 321 + total);
    else if (!final)
        n = sprintf(event, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
            "\"delta\":{\"type\":\"text_delta\",\"text\":\"@%019llu@\"}}\n\n", (unsigned long long)now);
    else
        n = sprintf(event, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
            "{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}\n\n"
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", total);
    return chunk(out, event, n, final);
}
