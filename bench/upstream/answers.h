/* What the fake upstream says: answers read once at start, and the text of one slow event. */
#ifndef ANSWERS_H
#define ANSWERS_H
#include <stddef.h>
#include <stdint.h>

enum api { API_OPENAI, API_ANTHROPIC };

/* A whole HTTP response, ready to be sent. */
struct answer { char *p; size_t n; };

struct answers {
    struct answer json[2];  /* by enum api: one completion with usage */
    struct answer sse[2];   /* by enum api: a burst of events, one HTTP chunk per event */
    struct answer big;      /* a JSON body of about 1 MB */
    struct answer models;
};

#define EVENT_MAX 2048      /* bytes that slow_event and slow_head write at most, framing included */

/* Reads the files that bodies.py wrote into `dir`; exits with a message when one is missing. */
void load_answers(struct answers *a, const char *dir);

/* The response head of a slow stream and, for Anthropic, its message_start. Returns the length. */
size_t slow_head(char *out, enum api api);

/* One event as an HTTP chunk, stamped with `now` (CLOCK_MONOTONIC, ns, 19 digits between @).
   `final`: the usage, the terminal event and the last chunk; `total` is the number of events sent. */
size_t slow_event(char *out, enum api api, int final, int total, uint64_t now);

#endif
