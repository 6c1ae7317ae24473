// What a WebSocket server cannot go below: one thread, one epoll, the system calls, and nothing else that could be left
// out. It decodes no JSON, knows one room, and answers every handshake as if it had the load generator's key.
//
//   floor echo | fanout | coalesce        prints its port, then serves until its stdin ends
//
//   echo      each message goes back to its sender
//   fanout    each message goes to all connections, by one write each
//   coalesce  the messages of one turn of the loop go to all connections, by one write each for all of them
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, READ = 64 * 1024, MOST = 65536, BATCH = 1 << 20 };

static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static int members[MOST], member_count, place[MOST];
static bool is_open[MOST];
static unsigned char in[READ], batch[BATCH];
static size_t batched;
static bool to_sender, at_once;

static void write_all(int fd, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) return;
            struct pollfd writable = {fd, POLLOUT, 0};
            poll(&writable, 1, 1000);
            continue;
        }
        data += n;
        size -= n;
    }
}

static void flush(void) {
    for (int i = 0; batched && i < member_count; i++) write_all(members[i], batch, batched);
    batched = 0;
}

static void drop(int fd) {
    if (is_open[fd]) {
        is_open[fd] = false;
        members[place[fd]] = members[--member_count];
        place[members[place[fd]]] = place[fd];
    }
    close(fd);
}

static void readable(int fd) {
    ssize_t size = recv(fd, in, READ, 0);
    if (size <= 0) {
        drop(fd);
        return;
    }
    if (!is_open[fd]) {
        write_all(fd, (const unsigned char *)ANSWER, sizeof ANSWER - 1);
        is_open[fd] = true;
        place[fd] = member_count;
        members[member_count++] = fd;
        return;
    }
    for (unsigned char *frame = in; size >= 6;) {
        size_t length = frame[1] & 0x7f;
        if (length > 125 || (ssize_t)(6 + length) > size) return;
        unsigned char *out = batch + batched;
        out[0] = frame[0];
        out[1] = length;
        for (size_t i = 0; i < length; i++) out[2 + i] = frame[6 + i] ^ frame[2 + (i & 3)];
        if (frame[0] == 0x88) {
            write_all(fd, out, 2 + length);
            drop(fd);
            return;
        }
        if (to_sender) {
            write_all(fd, out, 2 + length);
        } else {
            batched += 2 + length;
            if (at_once || batched > BATCH - 256) flush();
        }
        frame += 6 + length;
        size -= 6 + length;
    }
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "";
    to_sender = !strcmp(mode, "echo");
    at_once = !strcmp(mode, "fanout");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) return 0;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            int accepted;
            while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (accepted >= MOST) return 1;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.fd = accepted;
                epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event);
            }
        }
        flush();
    }
}
