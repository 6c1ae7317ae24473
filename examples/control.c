/* The control socket from C: kicks nobody, says hello to a room, and prints what the server answers. zmq.h is in the package
   libzmq3-dev (Debian, Ubuntu), zeromq-devel (Fedora) or zeromq (Homebrew).

       cc -o control examples/control.c -lzmq
       ./control ipc:///run/user/1000/wspulse/8000/control.sock lobby
*/
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static int ask(void *dealer, const char *request) {
    char answer[65536];
    if (zmq_send(dealer, request, strlen(request), 0) < 0)
        return 1;
    int size = zmq_recv(dealer, answer, sizeof answer, 0);
    if (size < 0) {
        fprintf(stderr, "no answer: %s\n", zmq_strerror(zmq_errno()));
        return 1;
    }
    printf("%.*s\n", size < (int)sizeof answer ? size : (int)sizeof answer, answer);
    return 0;
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: %s ENDPOINT ROOM\n", words[0]);
        return 2;
    }
    char broadcast[512];
    snprintf(broadcast, sizeof broadcast,
             "{\"id\": 2, \"op\": \"broadcast\", \"args\": {\"room\": \"%s\", "
             "\"frame\": {\"event\": \"hello\", \"payload\": {\"from\": \"C\"}}}}",
             words[2]);
    void *context = zmq_ctx_new();
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    int linger_ms = 0, timeout_ms = 5000;
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_connect(dealer, words[1]);
    int failed = ask(dealer, "{\"id\": 1, \"op\": \"ping\"}") || ask(dealer, broadcast) ||
                 ask(dealer, "{\"id\": 3, \"op\": \"kick\", \"args\": {\"connection\": \"nobody\"}}");
    zmq_close(dealer);
    zmq_ctx_term(context);
    return failed;
}
