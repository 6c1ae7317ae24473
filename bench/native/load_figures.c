// The figures: CPU time of the server's processes and of this one, latencies, and the line of JSON that tells them.
#define _GNU_SOURCE
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_PIDS = 64, LATENCY_US = 1000000 };  // a latency of a second or more counts as one of a second

static int pids[MOST_PIDS], group_of[MOST_PIDS], pid_count, group_count;
static unsigned *latencies;  // how many there were of each µs

static uint64_t read_clock(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) fail("a clock cannot be read: %s", strerror(errno));
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

uint64_t now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

void measure_processes(char *list) {
    for (char *group; (group = strsep(&list, "/")) && group_count < MOST_GROUPS; group_count++)
        for (char *pid; (pid = strsep(&group, ",")) && pid_count < MOST_PIDS; pid_count++) {
            pids[pid_count] = atoi(pid);
            group_of[pid_count] = group_count;
        }
}

// With the user and system time of all server processes, threads included: a process's clock is known by its pid.
struct sample take_sample(uint64_t received) {
    struct sample sample = {.wall = now_ns(), .own = read_clock(CLOCK_PROCESS_CPUTIME_ID), .received = received};
    for (int i = 0; i < pid_count; i++)
        sample.server[group_of[i]] += read_clock((clockid_t)((~(unsigned)pids[i] << 3) | 2));
    return sample;
}

void count_latencies(void) {
    latencies = calloc(LATENCY_US, sizeof *latencies);
}

void count_latency(uint64_t ns) {
    if (!latencies) return;
    uint64_t us = ns / 1000;
    latencies[us < LATENCY_US ? us : LATENCY_US - 1]++;
}

static void print_latencies(void) {
    static const struct { double share; const char *name; } WANTED[] = {
        {0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p999"}, {1.0, "max"},
    };
    uint64_t sum = 0, seen = 0;
    for (int us = 0; us < LATENCY_US; us++) sum += latencies[us];
    size_t at = 0;
    for (int us = 0; us < LATENCY_US && sum; us++) {
        seen += latencies[us];
        for (; at < sizeof WANTED / sizeof *WANTED && seen >= WANTED[at].share * sum; at++)
            printf(", \"latency_%s_us\": %d", WANTED[at].name, us);
    }
}

void print_result(struct sample before, struct sample after, uint64_t messages) {
    double count = messages ? messages : 1, wall_s = (after.wall - before.wall) / 1e9;
    double server_s = 0, own_s = (after.own - before.own) / 1e9, groups_s[MOST_GROUPS];
    for (int i = 0; i < group_count; i++) server_s += groups_s[i] = (after.server[i] - before.server[i]) / 1e9;
    printf("{\"messages\": %llu, \"wall_s\": %.6f, \"server_cpu_s\": %.6f, \"load_cpu_s\": %.6f, \"us_per_message\": %.4f, "
           "\"load_us_per_message\": %.4f, \"server_busy\": %.3f, \"per_second\": %.0f",
           (unsigned long long)messages, wall_s, server_s, own_s, server_s * 1e6 / count, own_s * 1e6 / count,
           server_s / wall_s, messages / wall_s);
    if (group_count > 1) {
        printf(", \"us_per_message_of\": [");
        for (int i = 0; i < group_count; i++) printf("%s%.4f", i ? ", " : "", groups_s[i] * 1e6 / count);
        printf("]");
    }
    if (latencies) print_latencies();
    printf("}\n");
    fflush(stdout);
}
