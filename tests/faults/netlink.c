/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preloaded: calls on netlink sockets fail, or give half of a message, where a test wants it. */
#include "tests/faults/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <sys/socket.h>

enum {
    SENDING = 1,
    RECEIVING = 2,
};

ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room,
                   int flags); /* NOLINT: what fortified code calls */
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, /* NOLINT */
                       struct sockaddr *address, socklen_t *address_len);

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static bool is_netlink(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK;
}

/* 0: goes on. -1: errno is set. 1: only half of the message. */
static int look(int fd, uint64_t what)
{
    struct faults_page *page = faults_page();

    if (!page || page->net_every == 0 || (page->net_what & what) == 0 || !is_netlink(fd))
        return 0;
    if (++page->net_count % page->net_every != 0)
        return 0;
    page->net_failed++;
    if (page->net_errno == 0)
        return what == RECEIVING ? 1 : 0;
    errno = (int)page->net_errno;
    return -1;
}

static ssize_t half(int fault, ssize_t got)
{
    return fault == 1 && got > 1 ? got / 2 : got;
}

static ssize_t shake(int fd, void *buf, ssize_t got)
{
    struct faults_page *page = faults_page();
    int left = (int)got;

    if (!page || page->net_shaken == 0 || got <= 0 || !is_netlink(fd))
        return got;
    for (struct nlmsghdr *h = buf; NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE) && h->nlmsg_flags & NLM_F_MULTI)
            h->nlmsg_flags |= NLM_F_DUMP_INTR;
    }
    return got;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    int fault = look(fd, RECEIVING);

    return fault < 0 ? -1 : half(fault, shake(fd, buf, REAL(recv)(fd, buf, len, flags)));
}

ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags) /* NOLINT */
{
    (void)room;
    return recv(fd, buf, len, flags);
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *address, socklen_t *address_len)
{
    int fault = look(fd, RECEIVING);

    return fault < 0 ? -1 : half(fault, REAL(recvfrom)(fd, buf, len, flags, address, address_len));
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, /* NOLINT */
                       struct sockaddr *address, socklen_t *address_len)
{
    (void)room;
    return recvfrom(fd, buf, len, flags, address, address_len);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    int fault = look(fd, RECEIVING);

    return fault < 0 ? -1 : half(fault, REAL(recvmsg)(fd, message, flags));
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned len, int flags, struct timespec *timeout)
{
    int fault = look(fd, RECEIVING);
    int got = fault < 0 ? -1 : REAL(recvmmsg)(fd, messages, len, flags, timeout);

    for (int i = 0; fault == 1 && i < got; i++)
        messages[i].msg_len /= 2;
    return got;
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *address,
               socklen_t address_len)
{
    return look(fd, SENDING) < 0 ? -1 : REAL(sendto)(fd, buf, len, flags, address, address_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return look(fd, SENDING) < 0 ? -1 : REAL(sendmsg)(fd, message, flags);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    return look(fd, SENDING) < 0 ? -1 : REAL(send)(fd, buf, len, flags);
}
