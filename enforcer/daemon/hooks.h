/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that are run for events. The daemon may not run any (docs/threat-model.md), so a process of its
 * own does: it is made before the daemon gives its rights away, has none itself, knows the programs from the
 * file of the configuration, which it reads itself, and gets events by a socket. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/sinks/hub.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define ENF_HOOKS_PARALLEL 4   /* programs at once */
#define ENF_HOOKS_WAITING  256 /* runs that wait for one of those to end; more are dropped */
#define ENF_HOOK_USER      "enforcer-hook"

/* --- between the two processes: one message each ----------------------------------------------------------
 */

#define ENF_HOOK_ABOUT_LEN 128
#define ENF_HOOK_TEXT_LEN  160

enum enf_hook_what {
    ENF_HOOK_RUN,       /* the hooks of mask, for an event. Its JSON follows */
    ENF_HOOK_TURN_AWAY, /* from stderr: the terminal is not ours any more */
    ENF_HOOK_USE,       /* the hooks with this digest, from now on: of a file that it knows or reads now */
};

/* To the helper. */
struct enf_hook_order {
    uint32_t what;
    uint32_t mask; /* a bit a hook */
    uint64_t digest;
    char about[ENF_HOOK_ABOUT_LEN]; /* "quarantined RUN-16" */
};

enum enf_hook_result {
    ENF_HOOK_DONE,
    ENF_HOOK_FAILED,
    ENF_HOOK_DROPPED,
};
#define ENF_HOOK_RESULT_COUNT 3
/* The answers to ENF_HOOK_USE; text: why not. */
#define ENF_HOOK_TAKEN 3
#define ENF_HOOK_KEPT  4

/* Back: what became of it. */
struct enf_hook_answer {
    uint32_t result;
    uint32_t hook;
    char text[ENF_HOOK_TEXT_LEN + ENF_HOOK_ABOUT_LEN];
};

/* The helper: runs until the other end is closed and nothing is left to do. path: of the file that config is
 * of, and which it may free in its copy of the memory. Does not return. */
void enf_hook_helper(int fd, const char *path, struct enf_config *config) __attribute__((noreturn));
/* Of all that is said of the hooks: two configurations with the same one have the same hooks. */
uint64_t enf_hooks_digest(const struct enf_config *config);

/* --- the daemon's side ------------------------------------------------------------------------------------
 */

struct enf_hook_row {
    char name[ENF_NAME_LEN];
    uint64_t actions;
    uint32_t severity;
};

struct enf_hooks {
    int fd;                                  /* -1: no helper */
    struct enf_hook_row rows[ENF_HOOKS_MAX]; /* what the helper knows */
    size_t rows_len;
    uint64_t digest; /* of them */
    bool made;
    bool polled;
    uv_poll_t poll;
    uint64_t counts[ENF_HOOK_RESULT_COUNT];
    struct {
        uint64_t count; /* since it was last told */
        uint64_t told_ms;
        char text[ENF_HOOK_TEXT_LEN + ENF_HOOK_ABOUT_LEN];
    } pending[ENF_HOOKS_MAX][ENF_HOOK_RESULT_COUNT];
};

struct enf_daemon;
struct enf_running;

/* Where the configuration has hooks: makes the helper. Before the loop, the crew and the threads are there,
 * so that it inherits nothing of them. 0 or -errno. */
int enf_hooks_make(struct enf_daemon *d, const char *user);
/* Listens to it. */
void enf_hooks_open(struct enf_daemon *d);
/* A hub listener; ctx is the daemon. Never waits. */
void enf_hooks_take(void *ctx, const struct enf_hub_line *line);
/* Once a second: tells failures and drops. */
void enf_hooks_tick(struct enf_daemon *d);
/* The terminal is not ours any more. */
void enf_hooks_detach(struct enf_daemon *d);
/* Lets the helper finish by itself. */
void enf_hooks_close(struct enf_daemon *d);
/* Has the helper go over to the hooks of config, which is read from the file it knows. Waits for its answer,
 * a second at most. True where they are in force; else those of before stay, and why says why. */
bool enf_hooks_use(struct enf_daemon *d, const struct enf_config *config, char *why, size_t why_len);
