/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top, live: one connection to the daemon, a picture every two seconds, and what keys do. */
#include "tools/enforcerctl/live.h"

#include "enforcer/core/text.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"
#include "tools/enforcerctl/screen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS  2000
#define LIST_MAX  200
#define AROUND    5 /* lines of the picture that are no subscriber */
#define TEXT_MAX  (1 << 20)
#define ADDR_SIZE 64

struct live {
    const struct ctl *ctl;
    struct ctl_rpc *rpc;
    const char *by;
    json_t *top;
    json_t *status;
    size_t chosen;
    char name[ADDR_SIZE]; /* of the chosen one: it stays chosen where the order changes */
    size_t first;         /* on the screen */
    char message[256];
    int rc;
};

/* --- what others print, as text --- */

static void clean(char *text)
{
    for (; *text; text++)
        if ((*text < ' ' && *text != '\n') || *text == 0x7f)
            *text = '?';
}

/* Begins to catch what goes to descriptor fd. */
static int catch_begin(int fd, int *kept)
{
    int memory = memfd_create("enforcerctl", MFD_CLOEXEC);

    fflush(fd == STDOUT_FILENO ? stdout : stderr);
    *kept = dup(fd);
    if (memory >= 0 && *kept >= 0)
        dup2(memory, fd);
    return memory;
}

/* Ends it; the text is the caller's to free, "" where there was none, NULL without memory. */
static char *catch_end(int fd, int memory, int kept)
{
    char *text = calloc(1, TEXT_MAX + 1);

    fflush(fd == STDOUT_FILENO ? stdout : stderr);
    if (kept >= 0) {
        dup2(kept, fd);
        close(kept);
    }
    if (text && memory >= 0 && pread(memory, text, TEXT_MAX, 0) < 0)
        text[0] = '\0';
    if (memory >= 0)
        close(memory);
    if (text)
        clean(text);
    return text;
}

/* A call; what it complains about becomes the message. */
static json_t *call(struct live *live, const char *method, json_t *params)
{
    json_t *result = NULL;
    int kept, memory = catch_begin(STDERR_FILENO, &kept);

    live->rc = ctl_rpc_call(live->rpc, method, params, &result);
    char *said = catch_end(STDERR_FILENO, memory, kept);
    if (said && said[0]) {
        said[strcspn(said, "\n")] = '\0';
        enf_text_copy(live->message, sizeof live->message, said);
    }
    free(said);
    return result;
}

/* --- the list --- */

static const json_t *entry_at(const struct live *live, size_t index)
{
    return json_array_get(json_at(live->top, "subscribers"), index);
}

static size_t entries(const struct live *live)
{
    return json_array_size(json_at(live->top, "subscribers"));
}

static void choose(struct live *live, size_t index)
{
    size_t len = entries(live);

    live->chosen = index < len ? index : len > 0 ? len - 1 : 0;
    enf_text_copy(live->name, sizeof live->name, text_at(entry_at(live, live->chosen), "subscriber"));
}

static void refresh(struct live *live)
{
    json_t *top = call(live, "subscriber.top", json_pack("{s:s, s:i}", "by", live->by, "limit", LIST_MAX));
    json_t *status = live->rc == CTL_DONE ? call(live, "status", NULL) : NULL;

    if (top) {
        json_decref(live->top);
        live->top = top;
    }
    if (status) {
        json_decref(live->status);
        live->status = status;
    }
    for (size_t i = 0; i < entries(live); i++) {
        if (strcmp(text_at(entry_at(live, i), "subscriber"), live->name) == 0) {
            live->chosen = i;
            return;
        }
    }
    choose(live, live->chosen);
}

static const char *ago(const json_t *entry, char buf[PRINT_TIME_LEN])
{
    uint64_t seen_ms;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (enf_time_parse(text_at(entry, "last_seen"), &seen_ms) != 0)
        return "-";
    return span_text(now_ms > seen_ms ? now_ms - seen_ms : 0, buf);
}

static void paint_head(const struct live *live)
{
    const json_t *s = live->status;

    screen_line(SCREEN_BOLD, "enforcer %s  mode %s  quarantine %lld  coverage %lld of %lld  table %s%s",
                text_at(s, "version"), text_at(s, "mode"), number_at(s, "quarantine.entries"),
                number_at(s, "coverage.enforced"), number_at(s, "coverage.desired"),
                text_at(s, "kernel.table"), true_at(s, "governor.tripped") ? "  GOVERNOR TRIPPED" : "");
    screen_line(SCREEN_PLAIN, "%zu subscribers by %s", entries(live), live->by);
    screen_line(SCREEN_BOLD, "%-24s %-14s %8s %6s %8s %-7s %6s", "SUBSCRIBER", "GROUP", "CONNECT", "DEST",
                "BLOCKED", "VERDICT", "SEEN");
}

static void paint_entry(const struct live *live, size_t index)
{
    const json_t *entry = entry_at(live, index);
    const char *verdict = text_at(entry, "verdict");
    enum screen_style style = strcmp(verdict, "zombie") == 0 ? SCREEN_RED : SCREEN_PLAIN;
    char seen[PRINT_TIME_LEN];

    if (!live->ctl->color)
        style = SCREEN_PLAIN;
    screen_line(index == live->chosen ? SCREEN_REVERSE : style, "%-24s %-14.14s %8lld %6lld %8lld %-7s %6s",
                text_at(entry, "subscriber"), text_at(entry, "group"), number_at(entry, "connections"),
                number_at(entry, "destinations"), number_at(entry, "blocked"), verdict, ago(entry, seen));
}

static void paint(struct live *live, const char *question)
{
    int rows, columns;

    screen_size(&rows, &columns);
    size_t room = rows > AROUND ? (size_t)(rows - AROUND) : 1;
    if (live->chosen < live->first)
        live->first = live->chosen;
    if (live->chosen >= live->first + room)
        live->first = live->chosen - room + 1;
    screen_begin();
    paint_head(live);
    if (entries(live) == 0)
        screen_line(SCREEN_PLAIN, "nobody has been seen");
    for (size_t i = live->first; i < entries(live) && i < live->first + room; i++)
        paint_entry(live, i);
    screen_fill(rows - 2);
    screen_line(SCREEN_YELLOW, "%s", question ? question : live->message);
    screen_line(SCREEN_REVERSE, "sort: c d b   choose: up down   s show   x quarantine   r release   q quit");
    screen_end();
}

/* --- keys --- */

/* One page after the other of a text. */
static void read_text(char *text)
{
    size_t first = 0, lines = 1;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    for (int key = SCREEN_NONE;
         key != 'q' && key != 's' && key != 0x1b && key != SCREEN_ENTER && key != SCREEN_END;
         key = screen_key(-1)) {
        int rows, columns;
        screen_size(&rows, &columns);
        size_t page = rows > 2 ? (size_t)rows - 2 : 1;
        if (key == SCREEN_DOWN || key == 'j')
            first++;
        if ((key == SCREEN_UP || key == 'k') && first > 0)
            first--;
        if (key == SCREEN_PAGE_DOWN || key == ' ')
            first += page;
        if (key == SCREEN_PAGE_UP)
            first = first > page ? first - page : 0;
        if (first + page > lines)
            first = lines > page ? lines - page : 0;
        const char *at = text;
        for (size_t i = 0; i < first && strchr(at, '\n'); i++)
            at = strchr(at, '\n') + 1;
        screen_begin();
        for (size_t i = 0; i < page && at && *at; i++) {
            screen_line(SCREEN_PLAIN, "%s", at);
            at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
        }
        screen_fill(rows - 1);
        screen_line(SCREEN_REVERSE, "up down space: read on   q: back");
        screen_end();
    }
}

static void show(struct live *live)
{
    const char *args[] = {live->name};
    struct ctl ctl = *live->ctl;
    struct timespec now;
    int kept, memory;

    clock_gettime(CLOCK_REALTIME, &now);
    ctl.now_ms = (uint64_t)now.tv_sec * 1000;
    ctl.color = false;
    ctl.args = args;
    ctl.args_len = 1;
    memory = catch_begin(STDOUT_FILENO, &kept);
    ctl_show(&ctl);
    char *text = catch_end(STDOUT_FILENO, memory, kept);
    if (text)
        read_text(text);
    free(text);
}

/* Only y means yes. */
static bool confirmed(struct live *live, const char *what)
{
    char question[160];
    int key;

    snprintf(question, sizeof question, "%s %s? y: yes, any other key: no", what, live->name);
    do {
        paint(live, question);
        key = screen_key(-1);
    } while (key == SCREEN_NONE);
    return key == 'y';
}

static void act(struct live *live, bool put_in)
{
    const char *method = put_in ? "quarantine.add" : "quarantine.release";

    if (!live->name[0])
        return;
    live->message[0] = '\0';
    if (!confirmed(live, put_in ? "quarantine" : "release")) {
        snprintf(live->message, sizeof live->message, "nothing was changed");
        return;
    }
    json_t *result =
        call(live, method,
             json_pack("{s:[s], s:s}", "addresses", live->name, "reason", "by hand, enforcerctl top"));
    if (result)
        snprintf(live->message, sizeof live->message, "%s: %s", put_in ? "quarantined" : "released",
                 live->name);
    json_decref(result);
    if (live->rc == CTL_REFUSED)
        live->rc = CTL_DONE;
    refresh(live);
}

/* False: the end. */
static bool on_key(struct live *live, int key)
{
    static const struct {
        int key;
        const char *by;
    } orders[] = {{'c', "connections"}, {'d', "destinations"}, {'b', "blocked"}};

    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (orders[i].key != key)
            continue;
        live->by = orders[i].by;
        refresh(live);
        choose(live, 0);
    }
    if (key == SCREEN_UP || key == 'k')
        choose(live, live->chosen > 0 ? live->chosen - 1 : 0);
    else if (key == SCREEN_DOWN || key == 'j')
        choose(live, live->chosen + 1);
    else if (key == SCREEN_PAGE_UP)
        choose(live, live->chosen > 10 ? live->chosen - 10 : 0);
    else if (key == SCREEN_PAGE_DOWN)
        choose(live, live->chosen + 10);
    else if ((key == 's' || key == SCREEN_ENTER) && live->name[0])
        show(live);
    else if (key == 'x' || key == 'r')
        act(live, key == 'x');
    else if (key == SCREEN_NONE)
        refresh(live);
    return key != 'q' && key != SCREEN_END && live->rc != CTL_UNREACHABLE;
}

bool live_possible(const struct ctl *ctl)
{
    const char *term = getenv("TERM");

    return !ctl->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

int live_top(const struct ctl *ctl)
{
    const char *by = ctl->options[CTL_OPT_BY];
    struct live live = {.ctl = ctl, .by = by ? by : "connections"};

    live.rc = ctl_rpc_open(ctl, &live.rpc);
    if (live.rc != CTL_DONE)
        return live.rc;
    if (screen_open() < 0) {
        ctl_rpc_close(&live.rpc);
        return CTL_REFUSED;
    }
    refresh(&live);
    do {
        if (live.rc != CTL_DONE)
            break;
        paint(&live, NULL);
    } while (on_key(&live, screen_key(EVERY_MS)));
    screen_close();
    if (live.rc != CTL_DONE && live.message[0])
        fprintf(stderr, "%s\n", live.message);
    json_decref(live.top);
    json_decref(live.status);
    ctl_rpc_close(&live.rpc);
    return live.rc;
}
