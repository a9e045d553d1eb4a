/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sd_notify(3) by hand: one datagram, no library for it. */
#include "enforcer/daemon/supervisor.h"

#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void enf_supervisor_open(struct enf_daemon *d)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') /* of the abstract name space: unix(7) */
        to.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, size) == 0) {
        d->supervised = true;
        d->supervisor_fd = fd;
        return;
    }
    enf_log_line("start", "NOTIFY_SOCKET %s cannot be reached: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void enf_supervisor_tell(const struct enf_daemon *d, const char *lines)
{
    if (d->supervised && send(d->supervisor_fd, lines, strlen(lines), MSG_NOSIGNAL) < 0)
        enf_log_line("start", "the supervisor was not reached: %s", strerror(errno));
}

void enf_supervisor_close(struct enf_daemon *d)
{
    if (d->supervised)
        close(d->supervisor_fd);
    d->supervised = false;
}
