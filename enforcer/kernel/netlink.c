/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nf_tables over a netlink socket: transactions that are answered, and dumps. */
#include "enforcer/kernel/netlink.h"

#include "enforcer/kernel/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define RECEIVE_LEN   ENF_DUMP_ROOM
#define SOCKET_BUFFER (8 * 1024 * 1024)
#define ANSWER_LIMIT  10 /* seconds: the kernel answers at once or something is very wrong */
#define DUMP_TRIES    5
#define REQUEST_SEQ   0x656e66u /* not 0, which stands in verdicts; one request at a time */

/* --- sockets that are not closed ---
 * While a socket of nf_tables is closed the kernel lets nobody change a table, and before it goes on it waits
 * for all that was deleted to be destroyed: 10 to 30 ms (nft_rcv_nl_event; docs/decisions/0030). Each ban
 * deletes something. So a socket that is at rest is kept for the next one who wants one. */
#define SPARE_MAX 8

static struct {
    pthread_mutex_t lock;
    struct enf_netlink sockets[SPARE_MAX];
    size_t len;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool take_spare(struct enf_netlink *nl)
{
    pthread_mutex_lock(&spare.lock);
    bool taken = spare.len > 0;
    if (taken)
        *nl = spare.sockets[--spare.len];
    pthread_mutex_unlock(&spare.lock);
    return taken;
}

static bool keep_spare(const struct enf_netlink *nl)
{
    pthread_mutex_lock(&spare.lock);
    bool kept = spare.len < SPARE_MAX;
    if (kept)
        spare.sockets[spare.len++] = *nl;
    pthread_mutex_unlock(&spare.lock);
    return kept;
}

static int open_socket(struct enf_netlink *nl)
{
    struct timeval limit = {.tv_sec = ANSWER_LIMIT};
    int size = SOCKET_BUFFER, on = 1;

    *nl = (struct enf_netlink){.socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC)};
    if (!nl->socket)
        return -errno;
    int fd = mnl_socket_get_fd(nl->socket);
    if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        int err = -errno;
        mnl_socket_close(nl->socket);
        return err;
    }
    /* Large answers must fit; where the privilege lacks, the default has to do. Short acknowledgements (no
     * copy of the message) keep them small. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    nl->portid = mnl_socket_get_portid(nl->socket);
    nl->seq = 1;
    return 0;
}

int enf_netlink_open(struct enf_netlink *nl)
{
    return take_spare(nl) ? 0 : open_socket(nl);
}

void enf_netlink_close(struct enf_netlink *nl)
{
    if (nl->socket && (nl->busy || !keep_spare(nl)))
        mnl_socket_close(nl->socket);
    nl->socket = NULL;
}

static bool reserve(struct enf_batch *batch, size_t room)
{
    size_t size = batch->size ? batch->size : 4096;

    while (size - batch->len < room)
        size *= 2;
    if (size != batch->size) {
        char *buf = realloc(batch->buf, size);
        if (!buf) {
            batch->err = -ENOMEM;
            return false;
        }
        /* libmnl leaves the padding of attributes as it is. */
        memset(buf + batch->size, 0, size - batch->size);
        batch->buf = buf;
        batch->size = size;
    }
    return true;
}

void enf_batch_begin(struct enf_batch *batch, struct enf_netlink *nl)
{
    *batch = (struct enf_batch){.nl = nl, .first_seq = nl->seq};
    if (!reserve(batch, MNL_NLMSG_HDRLEN + 64))
        return;
    nftnl_batch_begin(batch->buf, nl->seq++);
    batch->len = ((struct nlmsghdr *)(void *)batch->buf)->nlmsg_len;
}

struct nlmsghdr *enf_batch_message(struct enf_batch *batch, uint16_t type, uint16_t family, uint16_t flags,
                                   size_t room)
{
    if (batch->err < 0 || !reserve(batch, MNL_NLMSG_HDRLEN + 64 + room))
        return NULL;
    batch->last_seq = batch->nl->seq++;
    batch->message = nftnl_nlmsg_build_hdr(batch->buf + batch->len, type, family, flags, batch->last_seq);
    return batch->message;
}

void enf_batch_message_end(struct enf_batch *batch)
{
    if (batch->err < 0 || !batch->message)
        return;
    batch->len += NLMSG_ALIGN(batch->message->nlmsg_len);
    batch->messages++;
    batch->message = NULL;
}

void enf_batch_abort(struct enf_batch *batch)
{
    free(batch->buf);
    *batch = (struct enf_batch){0};
}

/* Reads until the last message is answered; errors of earlier ones come before that. */
static int collect_answers(struct enf_batch *batch)
{
    static const size_t header = sizeof(struct nlmsghdr) + sizeof(struct nlmsgerr);
    char buf[16384];
    int first_error = 0;

    for (;;) {
        ssize_t got = recv(mnl_socket_get_fd(batch->nl->socket), buf, sizeof buf, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return first_error ? first_error : errno == EAGAIN ? -ETIMEDOUT : -errno;
        int left = (int)got;
        for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < header)
                continue;
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(h);
            /* Numbers wrap; an answer to an older, abandoned transaction is not ours. */
            if (h->nlmsg_seq - batch->first_seq > batch->last_seq - batch->first_seq)
                continue;
            if (answer->error < 0 && first_error == 0)
                first_error = answer->error;
            if (h->nlmsg_seq == batch->last_seq || (h->nlmsg_seq == batch->first_seq && answer->error < 0)) {
                batch->nl->busy = false;
                return first_error;
            }
        }
        if (left > 0) /* cut: what it said may be what is waited for */
            return first_error ? first_error : -EIO;
    }
}

/* The acknowledgement is asked for at the last message only: errors come unasked. */
static void ask_for_answer(struct enf_batch *batch)
{
    struct nlmsghdr *h = (void *)batch->buf;
    int left = (int)batch->len;

    for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
        if (h->nlmsg_seq == batch->last_seq)
            h->nlmsg_flags |= NLM_F_ACK;
    }
}

/* A transaction is one datagram, and must fit the socket's buffer. */
static void make_room(const struct enf_batch *batch)
{
    int fd = mnl_socket_get_fd(batch->nl->socket), size = (int)batch->len;

    if (batch->len > SOCKET_BUFFER && batch->len < INT_MAX / 2)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
}

int enf_batch_commit(struct enf_batch *batch)
{
    int err = batch->err;

    if (err == 0 && batch->messages > 0 && reserve(batch, MNL_NLMSG_HDRLEN + 64)) {
        ask_for_answer(batch);
        struct nlmsghdr *h = nftnl_batch_end(batch->buf + batch->len, batch->nl->seq++);
        batch->len += NLMSG_ALIGN(h->nlmsg_len);
        make_room(batch);
        batch->nl->busy = true;
        if (mnl_socket_sendto(batch->nl->socket, batch->buf, batch->len) < 0)
            err = -errno;
        else
            err = collect_answers(batch);
    }
    if (err == 0)
        err = batch->err;
    enf_batch_abort(batch);
    return err;
}

static void give_up(struct enf_dump *dump, int err)
{
    if (dump->err == 0)
        dump->err = err;
    dump->deaf = true;
}

/* The code in the body of an answer or of a dump's end. */
static int code_of(const struct nlmsghdr *h)
{
    int code = 0;

    if (mnl_nlmsg_get_payload_len(h) >= sizeof code)
        memcpy(&code, mnl_nlmsg_get_payload(h), sizeof code);
    return code < 0 ? code : 0;
}

static void on_dump_message(struct enf_dump *dump, const struct nlmsghdr *h)
{
    if (h->nlmsg_seq != dump->seq) /* of an older request that was given up */
        return;
    if (h->nlmsg_flags & NLM_F_DUMP_INTR && !dump->unshaken)
        give_up(dump, -EINTR);
    if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
        if (code_of(h) < 0)
            give_up(dump, code_of(h));
        dump->done = true;
        return;
    }
    if (dump->deaf || h->nlmsg_type < NLMSG_MIN_TYPE)
        return;
    int more = dump->cb(h, dump->ctx);
    if (more < 0)
        give_up(dump, errno ? -errno : -EINVAL);
    else if (more == MNL_CB_STOP)
        dump->deaf = true;
    if (more <= MNL_CB_STOP && !(h->nlmsg_flags & NLM_F_MULTI))
        dump->done = true;
}

int enf_dump_begin(struct enf_dump *dump, struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb,
                   void *ctx)
{
    *dump = (struct enf_dump){.seq = nl->seq++, .cb = cb, .ctx = ctx};
    request->nlmsg_seq = dump->seq;
    nl->busy = true;
    return mnl_socket_sendto(nl->socket, request, request->nlmsg_len) < 0 ? -errno : 0;
}

int enf_dump_step(struct enf_dump *dump, struct enf_netlink *nl, void *buf)
{
    ssize_t got = recv(mnl_socket_get_fd(nl->socket), buf, ENF_DUMP_ROOM, 0);

    if (got < 0 && errno == EINTR)
        return 0;
    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    int left = (int)got;
    for (struct nlmsghdr *h = buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
        on_dump_message(dump, h);
    if (left > 0) /* cut, as above */
        return -EIO;
    nl->busy = !dump->done;
    return dump->done ? 1 : 0;
}

static int dump_once(struct enf_netlink *nl, struct nlmsghdr *request, bool unshaken, mnl_cb_t cb, void *ctx)
{
    struct enf_dump dump;
    char *buf = malloc(ENF_DUMP_ROOM);

    if (!buf)
        return -ENOMEM;
    int err = enf_dump_begin(&dump, nl, request, cb, ctx);
    dump.unshaken = unshaken;
    while (err == 0)
        err = enf_dump_step(&dump, nl, buf);
    free(buf);
    return err < 0 ? err : dump.err;
}

int enf_netlink_dump(struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb, void (*reset)(void *ctx),
                     void *ctx)
{
    int err = -EINTR;

    for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
        if (i > 0 && reset)
            reset(ctx);
        err = dump_once(nl, request, false, cb, ctx);
    }
    return err;
}

int enf_netlink_dump_unshaken(struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb, void *ctx)
{
    return dump_once(nl, request, true, cb, ctx);
}

/* The answer to our request in one datagram: true where it is there. The rest is for other. */
static bool find_answer(const uint8_t *data, size_t len, int *error)
{
    const uint8_t *at = data;
    struct enf_message message;

    while (enf_message_next(&at, data + len, &message)) {
        if (message.seq == REQUEST_SEQ && message.cut) {
            *error = -EIO;
            return true;
        }
        if (message.seq == REQUEST_SEQ && enf_message_answer(&message, error))
            return true;
    }
    return false;
}

int enf_netlink_request(struct mnl_socket *socket, struct nlmsghdr *request, enf_netlink_other_fn other,
                        void *ctx)
{
    uint8_t *buf = malloc(RECEIVE_LEN);
    int err = 0;

    if (!buf)
        return -ENOMEM;
    request->nlmsg_flags |= NLM_F_ACK;
    request->nlmsg_seq = REQUEST_SEQ;
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
        err = -errno;
        free(buf);
        return err;
    }
    for (;;) {
        ssize_t got = recv(mnl_socket_get_fd(socket), buf, RECEIVE_LEN, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err = -errno;
            break;
        }
        if (find_answer(buf, (size_t)got, &err))
            break;
        other(ctx, buf, (size_t)got);
    }
    free(buf);
    return err;
}

static int on_generation_attribute(const struct nlattr *attr, void *ctx)
{
    if (mnl_attr_get_type(attr) == NFTA_GEN_ID && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
        *(uint32_t *)ctx = ntohl(mnl_attr_get_u32(attr));
    return MNL_CB_OK;
}

static int on_generation(const struct nlmsghdr *h, void *ctx)
{
    mnl_attr_parse(h, sizeof(struct nfgenmsg), on_generation_attribute, ctx);
    return MNL_CB_STOP;
}

int enf_netlink_generation(struct enf_netlink *nl, uint32_t *out)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETGEN, NFPROTO_UNSPEC, 0, 0);

    return enf_netlink_dump(nl, h, on_generation, NULL, out);
}

bool enf_netlink_privileged(void)
{
    struct enf_netlink nl = {0};
    uint32_t generation = 0;

    if (enf_netlink_open(&nl) < 0)
        return false;
    int err = enf_netlink_generation(&nl, &generation);
    enf_netlink_close(&nl);
    return err != -EPERM;
}
