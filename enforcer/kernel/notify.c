/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket that hears of changes. A transaction's messages come in one piece, and its end names who asked
 * for it; until then they are kept aside. */
#include "enforcer/kernel/notify.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/canon.h"
#include "enforcer/kernel/notice.h"
#include "enforcer/kernel/ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER       (32 * 1024 * 1024)
#define RECEIVE_LEN  (64 * 1024)
#define READ_AT_ONCE 64 /* datagrams: the loop has other work */
#define THREADS_MAX  16

struct enf_notify {
    struct mnl_socket *socket;
    uint32_t ports[ENF_NOTIFY_PORTS_MAX];
    size_t ports_len;
    bool loading;
    uint32_t threads[THREADS_MAX];
    size_t threads_len;
    /* The transaction whose end did not come yet. */
    bool touched;
    struct enf_notify_news open;
    uint8_t buf[RECEIVE_LEN];
};

static bool has(const uint32_t *list, size_t len, uint32_t value)
{
    for (size_t i = 0; i < len; i++) {
        if (list[i] == value)
            return true;
    }
    return false;
}

int enf_notify_new_deaf(struct enf_notify **out)
{
    struct enf_notify *notify = calloc(1, sizeof *notify);

    if (!notify)
        return -ENOMEM;
    *out = notify;
    return 0;
}

int enf_notify_open(struct enf_notify **out)
{
    struct enf_notify *notify = NULL;
    int group = NFNLGRP_NFTABLES, size = BUFFER, err = enf_notify_new_deaf(&notify);

    if (err < 0)
        return err;
    notify->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!notify->socket || mnl_socket_bind(notify->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_setsockopt(notify->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        err = -errno;
        enf_notify_close(&notify);
        return err;
    }
    int fd = mnl_socket_get_fd(notify->socket);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    *out = notify;
    return 0;
}

void enf_notify_close(struct enf_notify **notify)
{
    if (!*notify)
        return;
    if ((*notify)->socket)
        mnl_socket_close((*notify)->socket);
    free(*notify);
    *notify = NULL;
}

int enf_notify_fd(const struct enf_notify *notify)
{
    return notify->socket ? mnl_socket_get_fd(notify->socket) : -1;
}

#define AT_SET_NAME 40 /* header, family, table "enforcer" with its attribute's head, the set's head */
#define QUARANTINE  0x71756172u /* "quar" */

/* Filling a large set sends us a message an element: the kernel drops those of our own sockets, but for the
 * ends of transactions; and while we load a ruleset by libnftables, whose sockets nobody knows, elements of
 * all sets but the quarantine's. A failure costs only time. */
static void filter_own(const struct enf_notify *notify)
{
    struct sock_filter code[ENF_NOTIFY_PORTS_MAX + 10];
    size_t n = 0, ports = notify->ports_len, names = notify->loading ? 5 : 0;
    uint16_t end = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN;
    uint16_t add = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM;
    uint16_t del = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELSETELEM;
    const struct sock_filter type = BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type));

    if (!notify->socket)
        return;
    /* Loads are in network order, the header is not. */
    code[n++] = type;
    code[n++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(end), (uint8_t)(ports + names + 1), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid));
    for (size_t i = 0; i < ports; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(notify->ports[i]),
                                                 (uint8_t)(ports - i + names), 0);
    if (names) {
        code[n++] = type;
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(add), 1, 0);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(del), 0, 2);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT_SET_NAME);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, QUARANTINE, 0, 1);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    setsockopt(enf_notify_fd(notify), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void enf_notify_loading(struct enf_notify *notify, bool on)
{
    notify->loading = on;
    filter_own(notify);
}

int enf_notify_own_port(struct enf_notify *notify, uint32_t port)
{
    if (has(notify->ports, notify->ports_len, port))
        return 0;
    if (notify->ports_len == ENF_NOTIFY_PORTS_MAX)
        return -ENOSPC;
    notify->ports[notify->ports_len++] = port;
    filter_own(notify);
    return 0;
}

int enf_notify_own_thread(struct enf_notify *notify, pid_t thread)
{
    if (has(notify->threads, notify->threads_len, (uint32_t)thread))
        return 0;
    if (notify->threads_len == THREADS_MAX)
        return -ENOSPC;
    notify->threads[notify->threads_len++] = (uint32_t)thread;
    return 0;
}

/* Which hash set of the tiers; NONE for every other one. */
static enum enf_family family_of(const char *set, enum enf_kernel_tier *tier)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};

    for (unsigned i = 0; i < 2 * ENF_KERNEL_TIER_COUNT; i++) {
        *tier = i / 2;
        if (strcmp(set, enf_kernel_set_name(enf_kernel_tier_singles(*tier, families[i % 2]))) == 0)
            return families[i % 2];
    }
    return ENF_FAMILY_NONE;
}

/* Keys of the hash sets; prefixes are compared as a whole. */
static void note_elements(struct enf_notify *notify, struct enf_notice *notice)
{
    struct enf_notify_news *open = &notify->open;
    enum enf_kernel_tier tier;
    enum enf_family family = family_of(notice->set, &tier);
    struct enf_notice_key key;

    open->elements = true;
    open->static_elements |= enf_canon_plain_len(notice->set) < strlen(notice->set);
    while (family != ENF_FAMILY_NONE && enf_notice_next_key(notice, &key)) {
        if (key.len != (family == ENF_FAMILY_V4 ? 4u : 16u))
            continue;
        if (notice->deleted) {
            open->elements_removed++;
            continue;
        }
        if (open->elements_added < ENF_NOTIFY_ADDED_MAX)
            open->added[open->elements_added] =
                (struct enf_notify_element){tier, enf_addr_from_bytes(family, key.data)};
        open->elements_added++;
    }
}

static void add_up(struct enf_notify_news *news, const struct enf_notify_news *open)
{
    news->transactions++;
    news->table_deleted |= open->table_deleted;
    news->rules |= open->rules;
    news->elements |= open->elements;
    news->static_elements |= open->static_elements;
    for (size_t i = 0; i < open->elements_added && i < ENF_NOTIFY_ADDED_MAX; i++) {
        if (news->elements_added + i < ENF_NOTIFY_ADDED_MAX)
            news->added[news->elements_added + i] = open->added[i];
    }
    news->elements_added += open->elements_added;
    news->elements_removed += open->elements_removed;
}

static void clear_open(struct enf_notify *notify)
{
    struct enf_notify_news *open = &notify->open;

    notify->touched = false;
    open->table_deleted = open->rules = open->elements = open->static_elements = false;
    open->elements_added = open->elements_removed = 0;
}

static void end_transaction(struct enf_notify *notify, uint32_t port, const struct enf_notice *notice,
                            struct enf_notify_news *news)
{
    bool own_port = has(notify->ports, notify->ports_len, port);

    if (own_port && notice->pid > 0)
        enf_notify_own_thread(notify, (pid_t)notice->pid);
    if (notify->touched && !own_port && !has(notify->threads, notify->threads_len, notice->pid)) {
        add_up(news, &notify->open);
        news->pid = notice->pid;
        enf_text_copy(news->name, sizeof news->name, notice->name);
    }
    clear_open(notify);
}

static void on_message(struct enf_notify *notify, const struct enf_message *message,
                       struct enf_notify_news *news)
{
    struct enf_notice notice;

    if (!enf_notice_read(message, &notice))
        return;
    switch (notice.kind) {
    case ENF_NOTICE_OTHER:
        return;
    case ENF_NOTICE_TABLE:
        notify->touched = true;
        notify->open.table_deleted |= notice.deleted;
        notify->open.rules = true;
        return;
    case ENF_NOTICE_RULES:
        notify->touched = true;
        notify->open.rules = true;
        return;
    case ENF_NOTICE_ELEMENTS:
        notify->touched = true;
        note_elements(notify, &notice);
        return;
    case ENF_NOTICE_GENERATION:
        end_transaction(notify, message->port, &notice, news);
        return;
    }
}

void enf_notify_feed(struct enf_notify *notify, const uint8_t *data, size_t len, struct enf_notify_news *news)
{
    struct enf_message message;

    for (const uint8_t *at = data; enf_message_next(&at, data + len, &message);)
        on_message(notify, &message, news);
}

int enf_notify_read(struct enf_notify *notify, struct enf_notify_news *news)
{
    for (int i = 0; i < READ_AT_ONCE; i++) {
        ssize_t got = recv(enf_notify_fd(notify), notify->buf, sizeof notify->buf, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == ENOBUFS) {
            news->overrun = true;
            clear_open(notify);
            continue;
        }
        if (got < 0)
            return -errno;
        enf_notify_feed(notify, notify->buf, (size_t)got, news);
    }
    return 1;
}
