// The load generator: one thread, one epoll, many WebSocket connections. It counts and checks every byte that it gets,
// and reads the CPU clocks of the server's processes itself, at the first and at the last counted message.
//
//   load MODE --port P [--path /ws?id=m{n}] [--connections N] [--pids 1,2] ...
//
//   echo     every connection keeps --window messages under way and expects each back, equal and in order
//   fanout   connection 0 broadcasts; every connection, 0 too, expects each, equal and in order:
//            --in-flight K, K broadcasts under way, or --rate R, R broadcasts each second
//   connect  opens the connections, --concurrency at a time; with --hold waits for a line on stdin while they idle;
//            with --leave closes them by a close frame, each waiting for the server's end
//
// --background N idle connections, on --background-path, are opened first and stay.
// The result is one line of JSON on stdout. Whatever is wrong ends the run with exit code 1 and a sentence on stderr.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 100, HEAD_IN = 2, HEAD_OUT = 6, SEQ = 10, CARRY = 1024, RING = 4096, READ = 256 * 1024, EVENTS = 1024 };
enum { MOST_PIDS = 64, LATENCY_US = 1000000 };

static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";  // of RFC 6455 §1.3, whose key we send
static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

struct connection {
    int fd;
    enum { CONNECTING, SHAKING, OPEN, LEAVING, GONE } state;
    uint32_t next;  // the sequence number that is expected next
    uint32_t have;  // bytes in carry
    char carry[CARRY];
};

static const char *mode, *path = "/ws?id=m{n}", *background_path = "/ws?room=b{n}&id=b{n}";
static int port, connections = 100, window = 1, in_flight, concurrency = 64, background;
static double rate, warmup_s = 0.5, measure_s = 1.5;
static bool hold, leave;
static int pids[MOST_PIDS], pid_count;

static struct connection *all;
static int total, poller;
static int opened, shaking, ended;
static uint64_t received;  // messages, checked
static unsigned char message_in[HEAD_IN + MESSAGE], message_out[HEAD_OUT + MESSAGE];
static int seq_at;
static uint32_t sent, complete;  // broadcasts
static uint32_t remaining[RING];
static uint64_t sent_at[RING];
static unsigned *latency;
static bool measuring;
static char *buffer;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// User and system time of all server processes, threads included, in ns.
static uint64_t server_cpu_ns(void) {
    uint64_t sum = 0;
    for (int i = 0; i < pid_count; i++) {
        struct timespec t;
        clockid_t clock = (clockid_t)((~(unsigned)pids[i] << 3) | 2);
        if (clock_gettime(clock, &t)) fail("process %d cannot be measured: %s", pids[i], strerror(errno));
        sum += t.tv_sec * 1000000000ull + t.tv_nsec;
    }
    return sum;
}

static uint64_t own_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void make_messages(void) {
    char text[MESSAGE + 64];
    int size = snprintf(text, sizeof text, "{\"event\":\"bench\",\"payload\":{\"seq\":\"0000000000\",\"pad\":\"");
    seq_at = (int)(strstr(text, "0000000000") - text);
    while (size < MESSAGE - 3) text[size++] = 'x';
    memcpy(text + size, "\"}}", 3);
    message_in[0] = 0x81;
    message_in[1] = MESSAGE;
    memcpy(message_in + HEAD_IN, text, MESSAGE);
    message_out[0] = 0x81;
    message_out[1] = 0x80 | MESSAGE;
    memcpy(message_out + 2, MASK, 4);
    for (int i = 0; i < MESSAGE; i++) message_out[HEAD_OUT + i] = text[i] ^ MASK[i & 3];
}

static void digits(uint32_t seq, unsigned char *to, int offset, bool masked) {
    for (int i = SEQ - 1; i >= 0; i--, seq /= 10) {
        unsigned char digit = '0' + seq % 10;
        to[i] = masked ? digit ^ MASK[(offset + i) & 3] : digit;
    }
}

static void send_all(struct connection *c, const void *data, size_t size) {
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n != (ssize_t)size) fail("a send of %zu bytes gave %zd: %s", size, n, strerror(errno));
}

static size_t put_message(unsigned char *to, uint32_t seq) {
    memcpy(to, message_out, sizeof message_out);
    digits(seq, to + HEAD_OUT + seq_at, seq_at, true);
    return sizeof message_out;
}

static void broadcast(int count) {
    static unsigned char out[256 * sizeof message_out];
    size_t size = 0;
    uint64_t now = now_ns();
    for (int i = 0; i < count && i < 256; i++) {
        remaining[sent % RING] = connections;
        sent_at[sent % RING] = now;
        size += put_message(out + size, sent++);
    }
    send_all(&all[background], out, size);
}

static void connect_next(void) {
    struct connection *c = &all[opened];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("no more sockets: %s", strerror(errno));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
    c->state = CONNECTING;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    opened++;
    shaking++;
}

static void expand(char *to, size_t size, const char *template, int number) {
    size_t at = 0;
    while (*template && at + 16 < size) {
        if (!strncmp(template, "{n}", 3)) {
            at += snprintf(to + at, size - at, "%d", number);
            template += 3;
        } else {
            to[at++] = *template++;
        }
    }
    to[at] = 0;
}

static void request(struct connection *c) {
    char target[512], head[1024];
    int number = (int)(c - all);
    bool is_background = number < background;
    expand(target, sizeof target, is_background ? background_path : path, is_background ? number : number - background);
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        target, port, KEY);
    send_all(c, head, size);
    c->state = SHAKING;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void say_goodbye(struct connection *c) {
    static const unsigned char close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    send_all(c, close_frame, sizeof close_frame);
    c->state = LEAVING;
}

// One whole frame at `frame`; returns its size, 0 when more bytes are needed.
static size_t take_frame(struct connection *c, unsigned char *frame, size_t size, uint64_t now) {
    if (size < HEAD_IN) return 0;
    if (frame[0] == 0x81) {
        if (size < sizeof message_in) return 0;
        digits(c->next, message_in + HEAD_IN + seq_at, seq_at, false);
        if (memcmp(frame, message_in, sizeof message_in))
            fail("connection %d: message %u is wrong: %.*s", (int)(c - all), c->next, MESSAGE + 2, frame);
        received++;
        uint32_t seq = c->next++;
        if (*mode == 'f') {
            if (measuring && latency) {
                uint64_t us = (now - sent_at[seq % RING]) / 1000;
                latency[us < LATENCY_US ? us : LATENCY_US - 1]++;
            }
            if (!--remaining[seq % RING]) complete = seq + 1;
        } else {
            unsigned char out[sizeof message_out];
            send_all(c, out, put_message(out, seq + window));
        }
        return sizeof message_in;
    }
    size_t whole = HEAD_IN + frame[1];
    if (frame[1] > 125) fail("connection %d: a frame of 0x%02x 0x%02x", (int)(c - all), frame[0], frame[1]);
    if (size < whole) return 0;
    if (frame[0] == 0x89) {
        unsigned char pong[6 + 125] = {0x8a, 0x80 | frame[1]};
        memcpy(pong + 6, frame + 2, frame[1]);
        send_all(c, pong, 6 + frame[1]);
    } else if (frame[0] != 0x88 || c->state != LEAVING) {
        fail("connection %d: an unexpected frame of 0x%02x %.*s", (int)(c - all), frame[0], (int)frame[1], frame + 2);
    }
    return whole;
}

static void take_answer(struct connection *c, char **data, size_t *size) {
    char *end = memmem(*data, *size, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    if (strncmp(*data, "HTTP/1.1 101", 12) || !strstr(*data, ACCEPT)) fail("refused: %s", *data);
    *size -= end + 4 - *data;
    *data = end + 4;
    c->state = OPEN;
    shaking--;
}

static void readable(struct connection *c) {
    memcpy(buffer, c->carry, c->have);
    ssize_t n = recv(c->fd, buffer + c->have, READ, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        if (c->state != LEAVING) fail("connection %d ended: %s", (int)(c - all), n ? strerror(errno) : "end of stream");
        close(c->fd);
        c->state = GONE;
        ended++;
        return;
    }
    uint64_t now = latency ? now_ns() : 0;
    char *data = buffer;
    size_t size = c->have + n;
    if (c->state == SHAKING) take_answer(c, &data, &size);
    if (c->state != SHAKING) {
        size_t taken;
        while ((taken = take_frame(c, (unsigned char *)data, size, now))) {
            data += taken;
            size -= taken;
        }
    }
    if (size > CARRY) fail("%zu bytes that are no frame", size);
    memcpy(c->carry, data, size);
    c->have = size;
}

static void turn(int timeout_ms) {
    static struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, timeout_ms);
    if (!count && timeout_ms >= 5000) fail("nothing came for %d ms (%u of %u complete)", timeout_ms, complete, sent);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (!c) {  // the timer
            uint64_t ticks;
            if (read(all[total].fd, &ticks, sizeof ticks) != sizeof ticks) continue;
            broadcast(1);
        } else if (c->state == CONNECTING) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error) fail("connect: %s", strerror(error));
            request(c);
        } else {
            readable(c);
        }
    }
}

static void open_until(int goal) {
    while (opened < goal || shaking) {
        while (opened < goal && shaking < concurrency) connect_next();
        turn(5000);
    }
}

struct sample {
    uint64_t wall, server, own, received, broadcasts;
};

static struct sample take_sample(void) {
    return (struct sample){now_ns(), server_cpu_ns(), own_cpu_ns(), received, complete};
}

static void print_result(struct sample a, struct sample b, uint64_t messages) {
    double wall_s = (b.wall - a.wall) / 1e9, count = messages ? messages : 1;
    printf("{\"messages\": %llu, \"wall_s\": %.6f, \"server_cpu_s\": %.6f, \"load_cpu_s\": %.6f, \"us_per_message\": %.4f, "
           "\"load_us_per_message\": %.4f, \"server_busy\": %.3f",
           (unsigned long long)messages, wall_s, (b.server - a.server) / 1e9, (b.own - a.own) / 1e9,
           (b.server - a.server) / 1e3 / count, (b.own - a.own) / 1e3 / count, (b.server - a.server) / 1e9 / wall_s);
    if (latency) {
        uint64_t sum = 0, seen = 0;
        for (int i = 0; i < LATENCY_US; i++) sum += latency[i];
        static const double shares[] = {0.5, 0.9, 0.99, 1.0};
        static const char *names[] = {"p50", "p90", "p99", "max"};
        int share = 0;
        for (int us = 0; us < LATENCY_US && share < 4; us++) {
            seen += latency[us];
            while (share < 4 && seen && seen >= shares[share] * sum) printf(", \"latency_%s_us\": %d", names[share++], us);
        }
    }
    printf("}\n");
    fflush(stdout);
}

static void run_for(double seconds) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end) {
        turn(5000);
        if (in_flight && sent - complete < (uint32_t)in_flight) broadcast(in_flight - (sent - complete));
    }
}

static void run_paced(double seconds) {
    uint32_t goal = sent + (uint32_t)(seconds * rate + 0.5);
    struct itimerspec each = {0};
    uint64_t ns = (uint64_t)(1e9 / rate);
    each.it_interval.tv_sec = each.it_value.tv_sec = ns / 1000000000;
    each.it_interval.tv_nsec = each.it_value.tv_nsec = ns % 1000000000;
    timerfd_settime(all[total].fd, 0, &each, NULL);
    while (sent < goal) turn(5000);
    memset(&each, 0, sizeof each);
    timerfd_settime(all[total].fd, 0, &each, NULL);
    while (complete < sent) turn(5000);
}

static void echo(void) {
    unsigned char out[64 * sizeof message_out];
    for (int i = background; i < total; i++) {
        size_t size = 0;
        for (int k = 0; k < window && k < 64; k++) size += put_message(out + size, k);
        send_all(&all[i], out, size);
    }
    run_for(warmup_s);
    struct sample before = take_sample();
    run_for(measure_s);
    struct sample after = take_sample();
    print_result(before, after, after.received - before.received);
}

static void fanout(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    all[total].fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    epoll_ctl(poller, EPOLL_CTL_ADD, all[total].fd, &event);
    void (*run)(double) = rate ? run_paced : run_for;
    if (rate) latency = calloc(LATENCY_US, sizeof *latency);
    if (!rate) broadcast(in_flight);
    run(warmup_s);
    measuring = true;
    struct sample before = take_sample();
    run(measure_s);
    struct sample after = take_sample();
    print_result(before, after, after.received - before.received);
    while (complete < sent) turn(5000);
    for (int i = background; i < total; i++)
        if (all[i].next != sent) fail("connection %d got %u of %u broadcasts", i, all[i].next, sent);
}

static void connecting(void) {
    char line[16];
    struct sample before = take_sample();
    open_until(total);
    struct sample after = take_sample();
    print_result(before, after, connections);
    if (hold && !fgets(line, sizeof line, stdin)) return;
    if (!leave) return;
    before = take_sample();
    for (int i = background; i < total; i += concurrency) {
        int last = i + concurrency < total ? i + concurrency : total;
        for (int k = i; k < last; k++) say_goodbye(&all[k]);
        while (ended < last - background) turn(5000);
    }
    after = take_sample();
    print_result(before, after, connections);
}

int main(int count, char **arguments) {
    if (count < 2) fail("which mode?");
    mode = arguments[1];
    for (int i = 2; i < count; i++) {
        const char *name = arguments[i];
        if (!strcmp(name, "--hold")) { hold = true; continue; }
        if (!strcmp(name, "--leave")) { leave = true; continue; }
        const char *value = ++i < count ? arguments[i] : "";
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--background")) background = atoi(value);
        else if (!strcmp(name, "--background-path")) background_path = value;
        else if (!strcmp(name, "--connections")) connections = atoi(value);
        else if (!strcmp(name, "--concurrency")) concurrency = atoi(value);
        else if (!strcmp(name, "--window")) window = atoi(value);
        else if (!strcmp(name, "--in-flight")) in_flight = atoi(value);
        else if (!strcmp(name, "--rate")) rate = atof(value);
        else if (!strcmp(name, "--warmup-s")) warmup_s = atof(value);
        else if (!strcmp(name, "--measure-s")) measure_s = atof(value);
        else if (!strcmp(name, "--pids")) {
            for (char *rest = strdup(value), *pid; (pid = strsep(&rest, ",")) && pid_count < MOST_PIDS;) pids[pid_count++] = atoi(pid);
        } else fail("no option is called %s", name);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    total = background + connections;
    all = calloc(total + 1, sizeof *all);
    buffer = malloc(READ + CARRY);
    poller = epoll_create1(0);
    make_messages();
    open_until(background);
    if (!strcmp(mode, "connect")) {
        connecting();
        return 0;
    }
    open_until(total);
    if (!strcmp(mode, "echo")) echo();
    else if (!strcmp(mode, "fanout")) fanout();
    else fail("no mode is called %s", mode);
    return 0;
}
