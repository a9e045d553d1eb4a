/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may use the control socket, from the configuration's words to those of the control room. */
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>

static struct enf_control_principal *convert(const struct enf_principal *from, size_t len)
{
    struct enf_control_principal *to = calloc(len ? len : 1, sizeof *to);

    for (size_t i = 0; to && i < len; i++)
        to[i] = (struct enf_control_principal){.name = from[i].name, .group = from[i].group};
    return to;
}

int enf_principals_make(const struct enf_config *config, struct enf_control_access *out)
{
    struct enf_control_access access = {
        .admins = convert(config->control.admins, config->control.admins_len),
        .admins_len = config->control.admins_len,
        .viewers = convert(config->control.viewers, config->control.viewers_len),
        .viewers_len = config->control.viewers_len,
        .portal = convert(config->control.portal, config->control.portal_len),
        .portal_len = config->control.portal_len,
    };

    if (!access.admins || !access.viewers || !access.portal) {
        enf_principals_clear(&access);
        return -ENOMEM;
    }
    *out = access;
    return 0;
}

void enf_principals_clear(struct enf_control_access *access)
{
    free((void *)(uintptr_t)access->admins);
    free((void *)(uintptr_t)access->viewers);
    free((void *)(uintptr_t)access->portal);
    *access = (struct enf_control_access){0};
}
