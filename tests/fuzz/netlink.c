/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes what comes in on the netfilter sockets: messages, their attributes, notifications of
 * nf_tables and what their canonical form is made of, the text of the queue's counters. All that is handed
 * out lies inside of what came in. */
#include "enforcer/kernel/canon.h"
#include "enforcer/kernel/messages.h"
#include "enforcer/kernel/notice.h"
#include "enforcer/kernel/notify.h"

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

/* Keys lie inside, and the list ends. */
static void check_notice(const uint8_t *data, size_t size, const struct enf_message *message)
{
    struct enf_notice notice;
    struct enf_notice_key key;

    if (!enf_notice_read(message, &notice))
        return;
    if (strlen(notice.set) >= sizeof notice.set || strlen(notice.name) >= sizeof notice.name)
        abort();
    for (size_t left = notice.elements_len; enf_notice_next_key(&notice, &key);) {
        check_inside(data, size, key.data, key.len);
        if (notice.elements_len >= left)
            abort();
        left = notice.elements_len;
    }
}

static void on_print(void *ctx, struct enf_print print, bool end)
{
    (void)end;
    enf_print_add(ctx, print);
}

static void on_set(void *ctx, const char *name, struct enf_canon *canon)
{
    (void)ctx;
    enf_canon_put(canon, name, enf_canon_plain_len(name));
}

/* A message has the same canonical form each time it is read. */
static void check_canon(const struct enf_message *message)
{
    for (int kind = 0; kind < ENF_CANON_KIND_COUNT; kind++) {
        struct enf_print prints[2];
        bool ours[2];
        for (int i = 0; i < 2; i++) {
            struct enf_canon canon = {0};
            char name[ENF_CANON_NAME_LEN] = "";
            uint32_t flags = 0;
            ours[i] =
                enf_canon_object((enum enf_canon_kind)kind, message, on_set, NULL, &canon, name, &flags);
            prints[i] = enf_canon_print(&canon);
            if (strlen(name) >= sizeof name || canon.len > 4 * message->body_len + 4096)
                abort();
            enf_canon_clear(&canon);
        }
        if (ours[0] != ours[1] || !enf_print_equal(prints[0], prints[1]))
            abort();
    }
    struct enf_print bag = {0};
    enf_canon_elements(message, on_print, &bag);
}

/* The whole as it comes from the socket; one port and one thread are ours. */
static void check_notify(const uint8_t *data, size_t size)
{
    static struct enf_notify_news news;
    struct enf_notify *notify = NULL;

    if (enf_notify_new_deaf(&notify) < 0)
        return;
    enf_notify_own_port(notify, 4711);
    enf_notify_own_thread(notify, 4712);
    memset(&news, 0, sizeof news);
    enf_notify_feed(notify, data, size, &news);
    enf_notify_feed(notify, data, size, &news);
    if (news.overrun || strlen(news.name) >= sizeof news.name ||
        ((news.elements_added > 0 || news.static_elements) && !news.elements) ||
        (news.table_deleted && !news.rules))
        abort();
    enf_notify_close(&notify);
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
        check_notice(data, size, &message);
        check_canon(&message);
        if (enf_queue_message_read(&message, &queued))
            check_inside(data, size, queued.packet.data, queued.packet.len);
    }

    check_notify(data, size);
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
