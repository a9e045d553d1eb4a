/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration in force, with everything that is derived from it. Read-only once it is loaded. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/core/rangemap.h"
#include "enforcer/policy/group.h"

#include <stdbool.h>

struct enf_running {
    char path[ENF_PATH_LEN];
    char *text; /* the file, as it was read */
    size_t text_len;
    struct enf_config *config;
    struct enf_group_index groups; /* points into config */
    struct enf_rangemap never;
    struct enf_rangemap smarthosts;
    struct enf_prefix_list bogons;
};

/* Reads and checks the file and the bogons that it names. 0 with *out the caller's; -EINVAL with the faults
 * in *errors (also where a file cannot be read); -ENOMEM. The caller clears *errors in every case. */
int enf_running_load(const char *path, struct enf_running **out, struct enf_config_errors *errors);
/* The same of a text that was read before: path is for messages and for what the text names. */
int enf_running_load_text(const char *path, const char *text, size_t len, struct enf_running **out,
                          struct enf_config_errors *errors);
/* A whole regular file of at most max bytes, with a zero behind it; the caller frees *out. 0, or -EINVAL with
 * a line in *errors, or -ENOMEM. */
int enf_running_read_file(const char *path, size_t max, char **out, size_t *out_len,
                          struct enf_config_errors *errors);
/* The first size bytes of fd, fewer where it ends before, and a zero behind them. Closes fd. The caller
 * frees; NULL without memory, with *out_len untouched. */
char *enf_running_read(int fd, size_t size, size_t *out_len);
/* Says on stderr what enf_running_load found wrong, or that it failed with err. */
void enf_running_complain(const char *path, const struct enf_config_errors *errors, int err);
/* Accepts NULL content; clears the caller's pointer. */
void enf_running_free(struct enf_running **running);

/* The file of bogons, where the configuration names one: a relative path counts from the folder of the
 * configuration. */
void enf_running_bogons_path(const struct enf_running *running, char *out, size_t out_len);

/* Which rules of level full are needed: each costs every packet. Ascending. */
enum enf_garden_need {
    ENF_GARDEN_CLOSED,  /* nobody is there */
    ENF_GARDEN_SINGLES, /* subscribers are */
    ENF_GARDEN_NETS,    /* prefixes, too */
};

/* The nft text that the configuration gives, in that mode. The caller frees. 0, -ENOMEM, -EINVAL (our bug).
 */
int enf_running_ruleset(const struct enf_running *running, enum enf_mode mode, enum enf_garden_need garden,
                        char **out);
/* The same for people to read, with the relays of the file in their sets. */
int enf_running_ruleset_print(const struct enf_running *running, char **out);

#define ENF_WARNINGS_MAX 4
/* What is right, and may surprise: one text each. Returns how many. */
size_t enf_running_warnings(const struct enf_running *running, const char *out[ENF_WARNINGS_MAX]);

/* For how long the kernel's meter quarantines, and a worker at first: the exact end follows from the history.
 */
uint64_t enf_running_first_quarantine_ms(const struct enf_config *config);
/* And at which level. */
enum enf_level enf_running_first_level(const struct enf_config *config);
