/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A NETLINK_NETFILTER socket with transactions and dumps. Private to kernel/. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One socket, one thread. */
struct enf_netlink {
    struct mnl_socket *socket;
    uint32_t portid;
    uint32_t seq;
    bool busy; /* an answer is still to come: nobody else can use it */
};

/* One that was at rest when it was closed, or a new one. 0 or -errno. Any thread. */
int enf_netlink_open(struct enf_netlink *nl);
/* Keeps up to eight that are at rest: to close one may make bans wait. Accepts one that is not open. Any
 * thread. */
void enf_netlink_close(struct enf_netlink *nl);

/* One nf_tables transaction being written: begin, any number of messages, then commit. Errors stick: a
 * message after one is a no-op, and commit returns the first. */
struct enf_batch {
    struct enf_netlink *nl;
    char *buf;
    size_t len;
    size_t size;
    uint32_t first_seq;
    uint32_t last_seq;
    struct nlmsghdr *message; /* the one being written */
    size_t messages;
    int err;
};

void enf_batch_begin(struct enf_batch *batch, struct enf_netlink *nl);
/* A header of NFT_MSG_* type; NULL once there is an error. The message may be written up to `room` bytes. */
struct nlmsghdr *enf_batch_message(struct enf_batch *batch, uint16_t type, uint16_t family, uint16_t flags,
                                   size_t room);
/* Ends the message: its length counts. */
void enf_batch_message_end(struct enf_batch *batch);
/* Sends, waits for the kernel's answer, frees. 0 or the first error as -errno: then nothing has changed. */
int enf_batch_commit(struct enf_batch *batch);
void enf_batch_abort(struct enf_batch *batch);

/* Sends a request whose answer is a dump or one message; cb as in libmnl. Retries where the kernel says that
 * the dump was interrupted; then reset(ctx), where given, is called first. 0 or -errno. */
int enf_netlink_dump(struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb, void (*reset)(void *ctx),
                     void *ctx);

/* Once, whatever others change meanwhile: for what their changes do not move. */
int enf_netlink_dump_unshaken(struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb, void *ctx);

/* The same in steps, for what is large: between two steps the kernel waits. One dump a socket at a time; a
 * socket whose dump was left before its end must be closed. */
#define ENF_DUMP_ROOM (64 * 1024)
struct enf_dump {
    uint32_t seq;
    mnl_cb_t cb;
    void *ctx;
    bool unshaken; /* set by the caller: goes on where other tables or sets change meanwhile */
    bool deaf;     /* what comes is of no interest any more, but must be read */
    bool done;
    int err; /* of the kernel, or of cb; valid when it is done */
};
int enf_dump_begin(struct enf_dump *dump, struct enf_netlink *nl, struct nlmsghdr *request, mnl_cb_t cb,
                   void *ctx);
/* Reads one datagram into buf (ENF_DUMP_ROOM bytes, aligned) and hands its messages to cb. 1 when the dump is
 * done, 0 when there is more, -errno where the socket fails. */
int enf_dump_step(struct enf_dump *dump, struct enf_netlink *nl, void *buf);

/* Sends one configuration message and waits for the kernel's answer to it. What else comes meanwhile,
 * packets, is given to other(ctx), datagram by datagram. 0 or -errno. */
typedef void (*enf_netlink_other_fn)(void *ctx, const uint8_t *data, size_t len);
int enf_netlink_request(struct mnl_socket *socket, struct nlmsghdr *request, enf_netlink_other_fn other,
                        void *ctx);

/* The number of the last change of any table in this network namespace. */
int enf_netlink_generation(struct enf_netlink *nl, uint32_t *out);

/* Does the kernel talk netfilter with us at all? For telling two meanings of -EPERM apart. */
bool enf_netlink_privileged(void);
