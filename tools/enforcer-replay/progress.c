/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The progress bar. */
#include "progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS  500 /* what is done by then needs no bar */
#define REDRAW_MS 150
#define BAR_WIDTH 24
#define COLUMNS   80

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct progress progress_make(FILE *to)
{
    const char *term = getenv("TERM");
    bool able = isatty(fileno(to)) && (!term || strcmp(term, "dumb") != 0);
    return (struct progress){.to = able ? to : NULL};
}

void progress_begin(struct progress *progress, const char *name)
{
    progress->name = name;
    progress->began_ms = now_ms();
    progress->shown_ms = 0;
}

/* Printable ASCII only, from the right: names of files may hold anything. */
static void short_name(const char *name, size_t width, char *out)
{
    size_t len = strlen(name);
    const char *from = len > width ? name + len - width : name;
    size_t n = 0;
    for (; *from; from++)
        out[n++] = *from >= ' ' && *from <= '~' ? *from : '?';
    out[n] = '\0';
}

static size_t columns_of(FILE *to)
{
    struct winsize size;
    return ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

static void draw(const struct progress *progress, uint64_t done, uint64_t total, uint64_t elapsed_ms)
{
    char text[128];
    char bar[BAR_WIDTH + 1];
    char name[64];
    if (total > 0) {
        if (done > total)
            done = total;
        double share = (double)done / (double)total;
        size_t filled = (size_t)(share * BAR_WIDTH);
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', filled);
        bar[BAR_WIDTH] = '\0';
        uint64_t left_s = done > 0 ? (uint64_t)((double)elapsed_ms / share / 1000 * (1 - share)) : 0;
        (void)snprintf(text, sizeof(text), "[%s] %3.0f %%  %" PRIu64 ":%02" PRIu64 " left  ", bar,
                       share * 100, left_s / 60, left_s % 60);
    } else {
        (void)snprintf(text, sizeof(text), "%" PRIu64 " MiB  ", done >> 20);
    }
    size_t columns = columns_of(progress->to);
    size_t used = strlen(text) + 1;
    size_t room = columns > used ? columns - used : 0;
    short_name(progress->name, room < sizeof(name) ? room : sizeof(name) - 1, name);
    (void)fprintf(progress->to, "\r\033[K%.*s%s", (int)columns, text, name);
    (void)fflush(progress->to);
}

void progress_step(struct progress *progress, uint64_t done, uint64_t total)
{
    if (!progress->to)
        return;
    uint64_t now = now_ms();
    if (now - progress->began_ms < QUIET_MS || now - progress->shown_ms < REDRAW_MS)
        return;
    progress->shown_ms = now;
    progress->visible = true;
    draw(progress, done, total, now - progress->began_ms);
}

void progress_wipe(struct progress *progress)
{
    if (!progress->visible)
        return;
    (void)fputs("\r\033[K", progress->to);
    (void)fflush(progress->to);
    progress->visible = false;
}
