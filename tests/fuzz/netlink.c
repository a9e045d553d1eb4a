/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes what comes in on the netfilter sockets: messages, their attributes, the text of the queue's
 * counters. All that is handed out lies inside of what came in. */
#include "enforcer/kernel/messages.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const uint8_t *data, size_t size, const uint8_t *part, size_t len)
{
    static volatile uint8_t sum;

    if (!part) {
        if (len != 0)
            abort();
        return;
    }
    if (part < data || part > data + size || len > (size_t)(data + size - part))
        abort();
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + part[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    struct enf_message message;
    struct enf_log_message copy;
    struct enf_queue_message queued;
    int error;

    while (at < end) {
        const uint8_t *before = at;
        if (!enf_message_next(&at, end, &message))
            break;
        if (at <= before || at > end)
            abort();
        check_inside(data, size, message.body, message.body_len);
        if (enf_message_answer(&message, &error) && error > 0)
            abort();
        if (enf_log_message_read(&message, &copy)) {
            check_inside(data, size, copy.packet.data, copy.packet.len);
            if (!enf_log_reason_name(copy.reason))
                abort();
        }
        if (enf_queue_message_read(&message, &queued))
            check_inside(data, size, queued.packet.data, queued.packet.len);
    }

    char *text = malloc(size + 1);
    struct enf_queue_usage usage = {0};
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    enf_queue_parse_proc(text, (uint16_t)size, &usage);
    free(text);
    return 0;
}
