// What a message is: a text frame of 100 bytes with a sequence number, the same payload in each dialect's own envelope.
#include "load.h"
#include <stdio.h>
#include <string.h>

enum { SEQ = 10 };

static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

static const struct dialect DIALECTS[] = {
    {
        .name = "plain",
        .path = "/ws?id=m{n}",
        .before = "{\"event\":\"bench\",\"payload\":",
        .after = "}",
    },
    {
        // Engine.IO 4 under Socket.IO 5: 0 opens the one and 40 the other, 42 is an event, 2 and 3 are ping and pong.
        .name = "socketio",
        .path = "/socket.io/?EIO=4&transport=websocket",
        .before = "42[\"bench\",",
        .after = "]",
        .steps = {{"0{", "40"}, {"40{", NULL}},
        .ping = "2",
        .pong = "3",
    },
    {
        .name = "exact",
        .path = "/ws?id=m{n}",
        .before = "{\"event\":\"bench\",\"payload\":",
        .after = "}",
        .steps = {{"{\"event\":\"wspulse.session\"", NULL}},
        .offer = "wspulse.1",
        .aside = "{\"event\":\"wspulse.",
        .acknowledgement = "{\"event\":\"wspulse.ack\",\"payload\":%u}",
    },
};

const struct dialect *dialect;

static unsigned char message_in[WHOLE_IN], message_out[WHOLE_OUT];
static int seq_at;  // in the text

static void make_messages(void) {
    char text[MESSAGE + 64];
    int after = (int)strlen(dialect->after);
    int size = snprintf(text, sizeof text, "%s{\"seq\":\"0000000000\",\"pad\":\"", dialect->before);
    seq_at = (int)(strstr(text, "0000000000") - text);
    while (size < MESSAGE - 2 - after) text[size++] = 'x';
    snprintf(text + size, sizeof text - size, "\"}%s", dialect->after);
    message_in[0] = TEXT;
    message_in[1] = MESSAGE;
    memcpy(message_in + HEAD_IN, text, MESSAGE);
    put_small(message_out, TEXT, text, MESSAGE);
}

void choose_dialect(const char *name) {
    for (size_t i = 0; i < sizeof DIALECTS / sizeof *DIALECTS; i++)
        if (!strcmp(DIALECTS[i].name, name)) dialect = &DIALECTS[i];
    if (!dialect) fail("no dialect is called %s", name);
    make_messages();
}

static void digits(uint32_t seq, unsigned char *to, int offset, bool masked) {
    for (int i = SEQ - 1; i >= 0; i--, seq /= 10) {
        unsigned char digit = '0' + seq % 10;
        to[i] = masked ? digit ^ MASK[(offset + i) & 3] : digit;
    }
}

size_t put_message(unsigned char *to, uint32_t seq) {
    memcpy(to, message_out, WHOLE_OUT);
    digits(seq, to + HEAD_OUT + seq_at, seq_at, true);
    return WHOLE_OUT;
}

bool is_message(const unsigned char *frame, uint32_t seq) {
    digits(seq, message_in + HEAD_IN + seq_at, seq_at, false);
    return !memcmp(frame, message_in, WHOLE_IN);
}

size_t put_small(unsigned char *to, unsigned char first, const void *payload, size_t size) {
    to[0] = first;
    to[1] = 0x80 | size;
    memcpy(to + 2, MASK, sizeof MASK);
    for (size_t i = 0; i < size; i++) to[HEAD_OUT + i] = ((const unsigned char *)payload)[i] ^ MASK[i & 3];
    return HEAD_OUT + size;
}
