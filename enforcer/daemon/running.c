/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads a configuration: the file, the bogons, and the maps that are searched by address. */
#include "enforcer/daemon/running.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOGONS_TEXT_MAX (128u << 20)

__attribute__((format(printf, 2, 3))) static int complain(struct enf_config_errors *errors,
                                                          const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return -ENOMEM;
    char **lines = realloc(errors->lines, (errors->len + 1) * sizeof *lines);
    if (!lines) {
        free(text);
        return -ENOMEM;
    }
    errors->lines = lines;
    errors->lines[errors->len++] = text;
    return -EINVAL;
}

char *enf_running_read(int fd, size_t size, size_t *out_len)
{
    char *text = malloc(size + 1);
    size_t len = 0;

    while (text && len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    close(fd);
    if (!text)
        return NULL;
    text[len] = '\0';
    *out_len = len;
    return text;
}

int enf_running_read_file(const char *path, size_t max, char **out, size_t *out_len,
                          struct enf_config_errors *errors)
{
    /* O_NONBLOCK: a fifo in the place of a file must not hang the daemon. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return complain(errors, "%s: cannot be read: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return complain(errors, "%s: expected a regular file", path);
    }
    if ((uint64_t)st.st_size > max) {
        close(fd);
        return complain(errors, "%s: expected at most %zu bytes, found %lld", path, max,
                        (long long)st.st_size);
    }
    char *text = enf_running_read(fd, (size_t)st.st_size, out_len);
    if (!text)
        return -ENOMEM;
    *out = text;
    return 0;
}

static int build_map(const struct enf_prefix *prefixes, size_t len, struct enf_rangemap *out)
{
    return enf_rangemap_difference(prefixes, len, NULL, 0, out);
}

static int build_smarthosts(struct enf_running *running)
{
    const struct enf_config *config = running->config;
    size_t len = 0, at = 0;

    for (size_t i = 0; i < config->smarthosts_len; i++)
        len += config->smarthosts[i].addresses_len;
    struct enf_prefix *all = calloc(len ? len : 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < config->smarthosts_len; i++) {
        for (size_t j = 0; j < config->smarthosts[i].addresses_len; j++)
            all[at++] = config->smarthosts[i].addresses[j];
    }
    int err = build_map(all, len, &running->smarthosts);
    free(all);
    return err;
}

void enf_running_bogons_path(const struct enf_running *running, char *out, size_t out_len)
{
    const char *name = running->config->inbound.bogons;
    const char *slash = strrchr(running->path, '/');

    if (name[0] == '/' || !slash)
        snprintf(out, out_len, "%s", name);
    else
        snprintf(out, out_len, "%.*s/%s", (int)(slash - running->path), running->path, name);
}

static int load_bogons(struct enf_running *running, struct enf_config_errors *errors)
{
    char path[2 * ENF_PATH_LEN];
    char *text = NULL;
    size_t len = 0;

    if (!*running->config->inbound.bogons)
        return 0;
    enf_running_bogons_path(running, path, sizeof path);
    int err = enf_running_read_file(path, BOGONS_TEXT_MAX, &text, &len, errors);
    if (err == 0)
        err = enf_config_parse_prefixes(path, text, len, &running->bogons, errors);
    free(text);
    return err;
}

/* Takes the text. */
static int load(const char *path, char *text, size_t len, struct enf_running **out,
                struct enf_config_errors *errors)
{
    struct enf_running *running = calloc(1, sizeof *running);

    if (!running) {
        free(text);
        return -ENOMEM;
    }
    enf_text_copy(running->path, sizeof running->path, path);
    running->text = text;
    running->text_len = len;
    int err = enf_config_parse(path, text, len, &running->config, errors);
    if (err == 0)
        err = load_bogons(running, errors);
    if (err == 0)
        err = enf_group_index_build(running->config->groups, running->config->groups_len, &running->groups);
    if (err == 0)
        err = build_map(running->config->quarantine.never.items, running->config->quarantine.never.len,
                        &running->never);
    if (err == 0)
        err = build_smarthosts(running);
    if (err < 0)
        enf_running_free(&running);
    else
        *out = running;
    return err;
}

int enf_running_load(const char *path, struct enf_running **out, struct enf_config_errors *errors)
{
    char *text = NULL;
    size_t len = 0;
    int err = enf_running_read_file(path, ENF_CONFIG_TEXT_MAX, &text, &len, errors);

    return err < 0 ? err : load(path, text, len, out, errors);
}

int enf_running_load_text(const char *path, const char *text, size_t len, struct enf_running **out,
                          struct enf_config_errors *errors)
{
    char *copy = malloc(len + 1);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return load(path, copy, len, out, errors);
}

void enf_running_complain(const char *path, const struct enf_config_errors *errors, int err)
{
    for (size_t i = 0; i < errors->len; i++)
        fprintf(stderr, "%s\n", errors->lines[i]);
    if (errors->len == 0 && err < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(-err));
}

/* Whether anybody may be put at level full by himself. */
static bool reaches_full(const struct enf_config *config)
{
    bool full = config->quarantine.level == ENF_LEVEL_FULL;

    for (size_t i = 0; i < config->quarantine.escalation_len; i++)
        full |= config->quarantine.escalation[i].level == ENF_LEVEL_FULL;
    return full;
}

size_t enf_running_warnings(const struct enf_running *running, const char *out[ENF_WARNINGS_MAX])
{
    const struct enf_config *config = running->config;
    size_t len = 0;

    if (config->quarantine.redirect == ENF_REDIRECT_DNAT)
        out[len++] =
            "quarantine.redirect: dnat switches connection tracking on for all traffic of this router "
            "while anybody is at level full";
    if (config->quarantine.redirect == ENF_REDIRECT_TPROXY)
        out[len++] =
            "quarantine.redirect: tproxy puts the fragments of all traffic together while anybody is "
            "at level full, and sets the packet mark quarantine.tproxy.mark, by which you must route";
    if (reaches_full(config) && config->quarantine.portal.len == 0)
        out[len++] =
            "quarantine.level: who gets to level full reaches no portal (quarantine.portal is empty) "
            "and is told nothing";
    if (config->quarantine.self_release.times > 0 && config->control.portal_len == 0)
        out[len++] = "quarantine.self_release: nobody but admins may call it (control.portal is empty)";
    return len;
}

void enf_running_free(struct enf_running **running)
{
    struct enf_running *r = *running;

    if (!r)
        return;
    enf_group_index_clear(&r->groups);
    enf_rangemap_clear(&r->never);
    enf_rangemap_clear(&r->smarthosts);
    enf_prefix_list_clear(&r->bogons);
    enf_config_free(&r->config);
    free(r->text);
    free(r);
    *running = NULL;
}
