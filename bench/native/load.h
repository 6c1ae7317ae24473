// What the files of the load generator have in common.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// load.c: ends the run with exit code 1 and a sentence on stderr.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// load_message.c: what a message is, and what a server wants to hear before the first one.

enum { TEXT = 0x81, CLOSE = 0x88, PING = 0x89, PONG = 0x8a };              // a whole frame's first byte
enum { HEAD_IN = 2, HEAD_OUT = 6, MESSAGE = 100, SMALL = 125 };            // bytes; SMALL frames have heads of this size
enum { WHOLE_IN = HEAD_IN + MESSAGE, WHOLE_OUT = HEAD_OUT + MESSAGE, STEPS = 3 };

struct dialect {
    const char *name, *path;
    const char *before, *after;                               // what is around a message's payload
    struct { const char *expected, *answer; } steps[STEPS];   // after the upgrade: packets that begin so, and our answers
    const char *ping, *pong;                                  // text packets beside WebSocket's own
    const char *offer;                                        // a subprotocol
    const char *aside, *acknowledgement;                      // packets that begin so are no messages; ours, with a count
};

extern const struct dialect *dialect;
void choose_dialect(const char *name);
size_t put_message(unsigned char *to, uint32_t seq);          // a whole frame, masked; WHOLE_OUT bytes
bool is_message(const unsigned char *frame, uint32_t seq);    // whether a frame of WHOLE_IN bytes is that very message
size_t put_small(unsigned char *to, unsigned char first, const void *payload, size_t size);  // any other frame, masked

// load_figures.c: the clocks, and what is printed of them.

enum { MOST_GROUPS = 4 };

struct sample {
    uint64_t wall, server[MOST_GROUPS], own, received;
};

uint64_t now_ns(void);
void measure_processes(char *pids);                           // "1,2/3": whose CPU time counts as the server's, in groups
struct sample take_sample(uint64_t received);
void count_latencies(void);                                   // from now on
void count_latency(uint64_t ns);
void print_result(struct sample before, struct sample after, uint64_t messages);
