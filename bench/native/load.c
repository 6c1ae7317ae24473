// The load generator: one thread, one epoll, many WebSocket connections. It counts and checks every byte that it gets,
// and reads the CPU clocks of the server's processes itself, at the first and at the last counted message.
//
//   load MODE --port P[,P...] [--dialect plain|socketio|exact [--ack-every 64]] [--path /ws?id=m{n}] [--connections N] [--pids 1,2] ...
//
//   echo     each connection expects each of its messages back, equal and in order:
//            --window K, K messages under way on each, or --rate R, R messages each second over all of them
//   fanout   connection 0 broadcasts; every connection, 0 too, expects each, equal and in order:
//            --in-flight K, K broadcasts under way, or --rate R, R broadcasts each second;
//            --uncounted N: the latencies of the first N connections do not count
//   connect  opens the connections, --concurrency at a time; with --hold waits for a line on stdin while they idle;
//            with --leave closes them by a close frame, each waiting for the server's end
//
// With --rate the schedule does not wait for answers, and a latency counts from the time at which a message was due, so
// that a stall is seen by all messages that fell into it and not only by those that it let through.
//
// Of several ports each connection takes the next one in turn. --pids 1,2/3: CPU time is told of each group, too.
// --background N idle connections, on --background-path, are opened first and stay. {n} in a path is the connection's
// number, from --first on.
// The result is one line of JSON on stdout. Whatever is wrong ends the run with exit code 1 and a sentence on stderr.
#define _GNU_SOURCE
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { MOST_PORTS = 16, CARRY = 1024, RING = 4096, READ = 256 * 1024, EVENTS = 1024, AT_ONCE = 256, PATIENCE_MS = 5000 };

static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";  // of RFC 6455 §1.3, whose key we send
enum { ACK_SPACING_NS = 200 * 1000 * 1000 };

struct connection {
    int fd;
    enum { CONNECTING, SHAKING, GREETING, OPEN, LEAVING, GONE } state;
    int step;       // of the dialect's greeting
    uint32_t next;  // the sequence number that is expected next
    uint32_t told;  // the one that was acknowledged last
    uint64_t told_ns;
    uint32_t have;  // bytes in carry
    char carry[CARRY];
};

static const char *mode, *path, *background_path = "/ws?room=b{n}&id=b{n}";
static uint32_t ack_every = 64;  // messages, in the dialect "exact"
static int ports[MOST_PORTS], port_count, connections = 100, window = 1, in_flight, concurrency = 64, background, first, uncounted;
static double rate, warmup_s = 0.5, measure_s = 1.5;
static bool hold, leave;

static struct connection *all;
static int total, poller, timer = -1;
static int opened, shaking, ended;
static bool released;       // a line came while the connections were held
static uint64_t received;   // messages, checked
static uint32_t sent;       // broadcasts, or messages of a paced echo
static uint32_t complete;   // broadcasts
static uint32_t remaining[RING];
static uint32_t begin, goal;            // of a paced run, in messages
static uint64_t begin_ns, interval_ns;
static char *buffer;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static void send_all(struct connection *c, const void *data, size_t size) {
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n != (ssize_t)size) fail("a send of %zu bytes gave %zd: %s", size, n, strerror(errno));
}

static void broadcast(int count) {
    static unsigned char out[AT_ONCE * WHOLE_OUT];
    size_t size = 0;
    for (int i = 0; i < count && i < AT_ONCE; i++) {
        if (sent - complete >= RING) fail("%u broadcasts are under way, which is too many", sent - complete);
        remaining[sent % RING] = connections;
        size += put_message(out + size, sent++);
    }
    send_all(&all[background], out, size);
}

// When message `number` of a paced run was to be sent.
static uint64_t due_ns(uint32_t number) {
    return begin_ns + (uint64_t)(number - begin + 1) * interval_ns;
}

static void send_due(void) {
    uint64_t now = now_ns();
    int due = 0;
    while (sent + due < goal && due_ns(sent + due) <= now) due++;
    if (*mode == 'f') {
        broadcast(due);
        return;
    }
    for (; due; due--, sent++) {
        unsigned char out[WHOLE_OUT];
        send_all(&all[background + sent % connections], out, put_message(out, sent / connections));
    }
}

static int port_of(int number) {
    return ports[(number < background ? number : number - background) % port_count];
}

static void connect_next(void) {
    struct connection *c = &all[opened];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("no more sockets: %s", strerror(errno));
    uint16_t port = htons(port_of(opened));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
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
    if (number < background) expand(target, sizeof target, background_path, number);
    else expand(target, sizeof target, path, number - background + first);
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13%s%s\r\n\r\n",
                        target, port_of(number), KEY, dialect->offer ? "\r\nSec-WebSocket-Protocol: " : "",
                        dialect->offer ? dialect->offer : "");
    send_all(c, head, size);
    c->state = SHAKING;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void say_goodbye(struct connection *c) {
    static const unsigned char code[] = {0x03, 0xe8};
    unsigned char out[HEAD_OUT + SMALL];
    send_all(c, out, put_small(out, CLOSE, code, sizeof code));
    c->state = LEAVING;
}

static void acknowledge(struct connection *c) {
    char text[64];
    unsigned char out[HEAD_OUT + SMALL];
    int size = snprintf(text, sizeof text, dialect->acknowledgement, c->next);
    send_all(c, out, put_small(out, TEXT, text, size));
    // Who speaks has its TCP acknowledge late, and on one machine that moves a fifth of the work from here to the server.
    setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

// As our clients do.
static void acknowledge_in_time(struct connection *c) {
    if (c->next - c->told < ack_every) return;
    uint64_t now = now_ns();
    if (now - c->told_ns < ACK_SPACING_NS) return;
    c->told = c->next;
    c->told_ns = now;
    acknowledge(c);
}

static void take_message(struct connection *c, const unsigned char *frame, uint64_t now) {
    int number = (int)(c - all);
    if (!is_message(frame, c->next)) fail("connection %d: message %u is wrong: %.*s", number, c->next, WHOLE_IN, frame);
    received++;
    uint32_t seq = c->next++;
    if (dialect->acknowledgement) acknowledge_in_time(c);
    if (*mode == 'f') {
        if (rate && number - background >= uncounted) count_latency(now - due_ns(seq));
        if (!--remaining[seq % RING]) complete = seq + 1;
    } else if (rate) {
        count_latency(now - due_ns(seq * connections + number - background));
    } else {
        unsigned char out[WHOLE_OUT];
        send_all(c, out, put_message(out, seq + window));
    }
}

static bool begins_with(const char *text, size_t size, const char *start) {
    return start && size >= strlen(start) && !memcmp(text, start, strlen(start));
}

// The upgrade, or a step of the greeting, is done.
static void greeted(struct connection *c) {
    bool more = dialect->steps[c->step].expected;
    c->state = more ? GREETING : OPEN;
    if (!more) shaking--;
}

// A text frame that is no message: the dialect's greeting, or its ping.
static void take_packet(struct connection *c, const char *text, size_t size) {
    const char *answer = dialect->pong;
    bool greeting = c->state == GREETING && begins_with(text, size, dialect->steps[c->step].expected);
    if (greeting) answer = dialect->steps[c->step++].answer;
    else if (c->state == OPEN && begins_with(text, size, dialect->aside)) return;
    else if (c->state != OPEN || size != 1 || !begins_with(text, size, dialect->ping))
        fail("connection %d: an unexpected %.*s", (int)(c - all), (int)size, text);
    unsigned char out[HEAD_OUT + SMALL];
    if (answer) send_all(c, out, put_small(out, TEXT, answer, strlen(answer)));
    if (greeting) greeted(c);
}

// One whole frame at `frame`; returns its size, 0 when more bytes are needed.
static size_t take_frame(struct connection *c, unsigned char *frame, size_t size, uint64_t now) {
    if (size < HEAD_IN) return 0;
    size_t head = HEAD_IN, length = frame[1];
    if (length == SMALL + 1) {
        head += 2;
        if (size < head) return 0;
        length = frame[2] << 8 | frame[3];
    } else if (length > SMALL) {
        fail("connection %d: a frame of 0x%02x 0x%02x", (int)(c - all), frame[0], frame[1]);
    }
    if (size < head + length) return 0;
    unsigned char out[HEAD_OUT + SMALL], *payload = frame + head;
    if (frame[0] == TEXT && length == MESSAGE && c->state == OPEN) take_message(c, frame, now);
    else if (frame[0] == TEXT) take_packet(c, (char *)payload, length);
    else if (frame[0] == PING && length <= SMALL) send_all(c, out, put_small(out, PONG, payload, length));
    else if (frame[0] != CLOSE || c->state != LEAVING)
        fail("connection %d: an unexpected frame of 0x%02x %.*s", (int)(c - all), frame[0], (int)length, payload);
    return head + length;
}

static void take_answer(struct connection *c, char **data, size_t *size) {
    char *end = memmem(*data, *size, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    if (strncmp(*data, "HTTP/1.1 101", 12) || !strstr(*data, ACCEPT)) fail("refused: %s", *data);
    *size -= end + 4 - *data;
    *data = end + 4;
    greeted(c);
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
    uint64_t now = rate ? now_ns() : 0;
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

static void watch(int fd, void *as) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = as};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("descriptor %d cannot be waited for: %s", fd, strerror(errno));
}

// Waits for something and handles it; -1 waits for ever.
static void turn(int timeout_ms) {
    static struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, timeout_ms);
    if (!count) fail("nothing came for %d ms (%u of %u complete)", timeout_ms, complete, sent);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (events[i].data.ptr == &timer) {
            uint64_t ticks;
            if (read(timer, &ticks, sizeof ticks) == sizeof ticks) send_due();
        } else if (events[i].data.ptr == &released) {
            char line[16];
            released = read(STDIN_FILENO, line, sizeof line) >= 0;
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
        turn(PATIENCE_MS);
    }
}

static void run_for(double seconds) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end) {
        turn(PATIENCE_MS);
        if (in_flight && sent - complete < (uint32_t)in_flight) broadcast(in_flight - (sent - complete));
    }
}

static void set_timer(uint64_t from_ns, uint64_t every_ns) {
    struct itimerspec when = {
        .it_value = {.tv_sec = from_ns / 1000000000, .tv_nsec = from_ns % 1000000000},
        .it_interval = {.tv_sec = every_ns / 1000000000, .tv_nsec = every_ns % 1000000000},
    };
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void run_paced(double seconds) {
    begin = sent;
    goal = sent + (uint32_t)(seconds * rate + 0.5);
    begin_ns = now_ns();
    interval_ns = (uint64_t)(1e9 / rate);
    set_timer(begin_ns + interval_ns, interval_ns);
    while (sent < goal) turn(PATIENCE_MS);
    set_timer(0, 0);
    while (*mode == 'f' ? complete < sent : received < sent) turn(PATIENCE_MS);
}

static void warm_up_and_measure(void) {
    if (rate) {
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        watch(timer, &timer);
    }
    void (*run)(double) = rate ? run_paced : run_for;
    run(warmup_s);
    if (rate) count_latencies();
    struct sample before = take_sample(received);
    run(measure_s);
    struct sample after = take_sample(received);
    print_result(before, after, after.received - before.received);
}

static void echo(void) {
    unsigned char out[64 * WHOLE_OUT];
    for (int i = background; i < total && !rate; i++) {
        size_t size = 0;
        for (int k = 0; k < window && k < 64; k++) size += put_message(out + size, k);
        send_all(&all[i], out, size);
    }
    warm_up_and_measure();
}

static void fanout(void) {
    if (!rate) broadcast(in_flight);
    warm_up_and_measure();
    while (complete < sent) turn(PATIENCE_MS);
    for (int i = background; i < total; i++)
        if (all[i].next != sent) fail("connection %d got %u of %u broadcasts", i, all[i].next, sent);
}

static void connecting(void) {
    struct sample before = take_sample(0);
    open_until(total);
    struct sample after = take_sample(0);
    print_result(before, after, connections);
    if (hold) watch(STDIN_FILENO, &released);
    while (hold && !released) turn(-1);
    if (!leave) return;
    before = take_sample(0);
    for (int i = background; i < total; i += concurrency) {
        int last = i + concurrency < total ? i + concurrency : total;
        for (int k = i; k < last; k++) say_goodbye(&all[k]);
        while (ended < last - background) turn(PATIENCE_MS);
    }
    after = take_sample(0);
    print_result(before, after, connections);
}

int main(int count, char **arguments) {
    const char *spoken = "plain";
    if (count < 2) fail("which mode?");
    mode = arguments[1];
    for (int i = 2; i < count; i++) {
        const char *name = arguments[i];
        if (!strcmp(name, "--hold")) { hold = true; continue; }
        if (!strcmp(name, "--leave")) { leave = true; continue; }
        char *value = ++i < count ? arguments[i] : "";
        if (!strcmp(name, "--port"))
            for (char *one; (one = strsep(&value, ",")) && port_count < MOST_PORTS;) ports[port_count++] = atoi(one);
        else if (!strcmp(name, "--dialect")) spoken = value;
        else if (!strcmp(name, "--ack-every")) ack_every = atoi(value);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--first")) first = atoi(value);
        else if (!strcmp(name, "--background")) background = atoi(value);
        else if (!strcmp(name, "--background-path")) background_path = value;
        else if (!strcmp(name, "--connections")) connections = atoi(value);
        else if (!strcmp(name, "--concurrency")) concurrency = atoi(value);
        else if (!strcmp(name, "--uncounted")) uncounted = atoi(value);
        else if (!strcmp(name, "--window")) window = atoi(value);
        else if (!strcmp(name, "--in-flight")) in_flight = atoi(value);
        else if (!strcmp(name, "--rate")) rate = atof(value);
        else if (!strcmp(name, "--warmup-s")) warmup_s = atof(value);
        else if (!strcmp(name, "--measure-s")) measure_s = atof(value);
        else if (!strcmp(name, "--pids")) measure_processes(value);
        else fail("no option is called %s", name);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    choose_dialect(spoken);
    if (!path) path = dialect->path;
    total = background + connections;
    all = calloc(total, sizeof *all);
    buffer = malloc(READ + CARRY);
    poller = epoll_create1(0);
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
