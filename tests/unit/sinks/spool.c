/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The spool: order, bounds, what is left after a crash, damage; and the hub with one: nothing is lost that
 * fits. */
#include "enforcer/sinks/spool.h"

#include "enforcer/sinks/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    char dir[64];
    char spools[80]; /* is made when it is needed */
    char log[80];
    char told[512]; /* by the hub's lost */
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-spool-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->spools, sizeof(bed->spools), "%s/state/spool", bed->dir);
    snprintf(bed->log, sizeof(bed->log), "%s/events.json", bed->dir);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
    free(bed);
    return 0;
}

/* The one spool file there is, or "". */
static const char *spool_file(const struct bed *bed, char out[128])
{
    char pattern[128];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/*", bed->spools);
    out[0] = '\0';
    if (glob(pattern, 0, NULL, &found) == 0) {
        assert_int_equal(found.gl_pathc, 1);
        snprintf(out, 128, "%s", found.gl_pathv[0]);
        globfree(&found);
    }
    return out;
}

static void put_number(struct enf_spool *spool, unsigned n, int expected)
{
    char line[32];

    snprintf(line, sizeof(line), "%09u\n", n);
    assert_int_equal(enf_spool_put(spool, line, 10), expected);
}

static void take_number(struct enf_spool *spool, unsigned n)
{
    const char *line;
    size_t len = 0;

    assert_int_equal(enf_spool_first(spool, &line, &len), 1);
    assert_int_equal(len, 10);
    assert_int_equal(atoi(line), n);
    enf_spool_drop(spool);
}

static void test_order(void **state)
{
    struct bed *bed = *state;
    struct enf_spool spool;
    const char *line;
    char path[128];
    size_t len;

    assert_int_equal(enf_spool_open(bed->spools, "/var/log/a", 1 << 20, &spool), 0);
    assert_int_equal(enf_spool_first(&spool, &line, &len), 0);
    assert_string_equal(spool_file(bed, path), ""); /* nothing is made before it is needed */
    for (unsigned i = 0; i < 30000; i++)            /* more than one chunk */
        put_number(&spool, i, 0);
    assert_int_equal(spool.lines, 30000);
    for (unsigned i = 0; i < 20000; i++)
        take_number(&spool, i);
    for (unsigned i = 30000; i < 40000; i++)
        put_number(&spool, i, 0);
    for (unsigned i = 20000; i < 40000; i++)
        take_number(&spool, i);
    assert_true(enf_spool_is_empty(&spool));
    assert_string_equal(spool_file(bed, path), "");
    enf_spool_close(&spool);
}

static void test_bound(void **state)
{
    struct bed *bed = *state;
    struct enf_spool spool;
    struct stat st;
    char path[128];
    unsigned first = 0, next = 0;

    assert_int_equal(enf_spool_open(bed->spools, "a", 1038, &spool), 0); /* a hundred lines */
    for (; next < 100; next++)
        put_number(&spool, next, 0);
    put_number(&spool, 0, -ENOSPC);
    take_number(&spool, first++);
    put_number(&spool, 0, -ENOSPC); /* no room is made for so little */
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 60; i++)
            take_number(&spool, first++);
        while (next < first + 99)
            put_number(&spool, next++, 0);
        assert_int_equal(stat(spool_file(bed, path), &st), 0);
        assert_true(st.st_size <= 1038);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    while (first < next)
        take_number(&spool, first++);
    enf_spool_close(&spool);

    assert_int_equal(enf_spool_open(NULL, "a", 1000, &spool), 0);
    put_number(&spool, 0, -ENOSPC); /* there is none */
    enf_spool_close(&spool);
}

/* Its process is killed: what it took over is there again, from the last known place on; half a line is not.
 */
static void test_crash(void **state)
{
    struct bed *bed = *state;
    struct enf_spool spool, next;
    char path[128];
    int fd;

    assert_int_equal(enf_spool_open(bed->spools, "a", 1 << 20, &spool), 0);
    for (unsigned i = 0; i < 100; i++)
        put_number(&spool, i, 0);
    for (unsigned i = 0; i < 10; i++)
        take_number(&spool, i);
    enf_spool_sync(&spool);
    take_number(&spool, 10); /* not written down */
    fd = open(spool_file(bed, path), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "0000", 4), 4);
    close(fd);
    assert_int_equal(enf_spool_open(bed->spools, "a", 1 << 20, &next), 0);
    assert_int_equal(next.lines, 90);
    put_number(&next, 100, 0);
    for (unsigned i = 10; i <= 100; i++)
        take_number(&next, i);
    enf_spool_close(&next);
    enf_spool_close(&spool);
}

static void test_damage(void **state)
{
    struct bed *bed = *state;
    static const char *const texts[] = {
        "",
        "something else\n",
        "enforcer spool 1 00000000000000000037\nx\n",
        "enforcer spool 1 00000000000000000099\nx\n",
        "enforcer spool 1 18446744073709551615\nx\n",
        "enforcer spool 1 0000000000000000003x\nx\n",
        "enforcer spool 1 00000000000000000038\n",
        "enforcer spool 1 00000000000000000038\nhalf a line",
    };
    struct enf_spool spool;
    char path[128], *large = malloc(3 << 20);
    const char *line;
    size_t len;
    FILE *f;

    assert_int_equal(enf_spool_open(bed->spools, "a", 1 << 20, &spool), 0);
    put_number(&spool, 1, 0);
    spool_file(bed, path);
    enf_spool_close(&spool);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        f = fopen(path, "we");
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(enf_spool_open(bed->spools, "a", 1 << 20, &spool), 0);
        assert_int_equal(enf_spool_first(&spool, &line, &len), 0);
        put_number(&spool, 7, 0);
        take_number(&spool, 7);
        enf_spool_close(&spool);
    }
    /* A line that is longer than any of ours. */
    memset(large, 'x', 3 << 20);
    large[(3 << 20) - 1] = '\n';
    f = fopen(path, "we");
    fputs(texts[6], f);
    fwrite(large, 1, 3 << 20, f);
    fclose(f);
    assert_int_equal(enf_spool_open(bed->spools, "a", 4 << 20, &spool), 0);
    assert_int_equal(enf_spool_first(&spool, &line, &len), 0);
    assert_true(enf_spool_is_empty(&spool));
    enf_spool_close(&spool);
    /* A link in its place is not followed. */
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(enf_spool_open(bed->spools, "a", 4 << 20, &spool), 0);
    put_number(&spool, 7, -ELOOP);
    enf_spool_close(&spool);
    free(large);
}

/* --- the hub --- */

static void on_lost(void *ctx, const char *sink, uint64_t first, uint64_t last, uint64_t count, bool over)
{
    struct bed *bed = ctx;
    size_t at = strlen(bed->told);

    assert_string_equal(sink, bed->log);
    snprintf(bed->told + at, sizeof(bed->told) - at, "%d-%d:%d%s ", (int)first, (int)last, (int)count,
             over ? " over" : "");
}

static struct enf_hub *make_hub(struct bed *bed, const char *run, uint64_t spool_bytes)
{
    struct enf_hub_params params = {.run = run,
                                    .ring_lines = 8,
                                    .spool = bed->spools,
                                    .spool_bytes = spool_bytes,
                                    .lost = on_lost,
                                    .lost_ctx = bed};
    struct enf_hub_sink sink = {bed->log};
    struct enf_hub *hub = NULL;
    char error[256];

    assert_int_equal(enf_hub_new(&params, &hub), 0);
    enf_hub_set_sinks(hub, &sink, 1, true, error, sizeof(error));
    return hub;
}

static void emit(struct enf_hub *hub, uint64_t now_ms, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct enf_event event = {.action = ENF_EVENT_STARTED, .time_ms = 1000};

        assert_int_equal(enf_hub_emit(hub, now_ms, &event), 0);
    }
}

/* "r1:1-300 r2:1-5 ": the runs and numbers of the file, gaps shown. */
static void read_log(const struct bed *bed, char *out, size_t out_len)
{
    FILE *f = fopen(bed->log, "re");
    char *line = NULL, run[16] = "";
    size_t cap = 0, at = 0;
    long long last = 0;

    assert_non_null(f);
    out[0] = '\0';
    while (getline(&line, &cap, f) > 0) {
        json_t *json = json_loads(line, 0, NULL);
        if (!json) {
            at += (size_t)snprintf(out + at, out_len - at, "?");
            continue;
        }
        long long number = json_integer_value(json_object_get(json_object_get(json, "event"), "sequence"));
        const char *of = json_string_value(json_object_get(json_object_get(json, "enforcer"), "run"));
        if (strcmp(of, run) != 0 || number != last + 1) {
            if (*run)
                at += (size_t)snprintf(out + at, out_len - at, "-%lld ", last);
            at += (size_t)snprintf(out + at, out_len - at, "%s:%lld", of, number);
            snprintf(run, sizeof(run), "%s", of);
        }
        last = number;
        json_decref(json);
    }
    snprintf(out + at, out_len - at, "-%lld", last);
    free(line);
    fclose(f);
}

static void test_hub_loses_nothing(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;
    struct enf_hub *hub;
    char path[128], text[256];

    assert_int_equal(symlink("/dev/full", bed->log), 0);
    hub = make_hub(bed, "r1", 0);
    emit(hub, 0, 300); /* far more than memory keeps */
    enf_hub_stats(hub, &stats);
    assert_int_equal(stats.lost, 0);
    assert_int_equal(stats.spooled, 300);
    assert_int_equal(stats.waiting, 300);
    enf_hub_free(&hub); /* the disk is still full */

    hub = make_hub(bed, "r2", 0);
    emit(hub, 0, 5);
    assert_int_equal(unlink(bed->log), 0);
    enf_hub_tick(hub, ENF_HUB_RETRY_MS);
    emit(hub, ENF_HUB_RETRY_MS, 2);
    read_log(bed, text, sizeof(text));
    assert_string_equal(text, "r1:1-300 r2:1-7");
    enf_hub_stats(hub, &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.lost, 0);
    assert_string_equal(spool_file(bed, path), "");
    assert_string_equal(bed->told, "");
    enf_hub_free(&hub);
}

/* A folder that cannot be made, since a file is in its way: the daemon starts all the same. */
static void test_hub_starts_without_its_sink(void **state)
{
    struct bed *bed = *state;
    struct enf_hub *hub;
    char text[256];

    assert_int_equal(mkdir(bed->log, 0700), 0);
    hub = make_hub(bed, "r1", 0);
    emit(hub, 0, 20);
    assert_int_equal(rmdir(bed->log), 0);
    enf_hub_tick(hub, ENF_HUB_RETRY_MS);
    read_log(bed, text, sizeof(text));
    assert_string_equal(text, "r1:1-20");
    enf_hub_free(&hub);
}

/* The bound: memory holds the newest eight, the spool the oldest; what is between is told twice. */
static void test_gap_is_told(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;
    struct enf_hub *hub;
    char text[256], expected[256];
    size_t fits;

    assert_int_equal(symlink("/dev/full", bed->log), 0);
    hub = make_hub(bed, "r1", 8192);
    emit(hub, 0, 100);
    enf_hub_stats(hub, &stats);
    fits = stats.spooled;
    assert_in_range(fits, 10, 80);
    assert_int_equal(stats.lost, 100 - 8 - fits);
    enf_hub_tick(hub, 1);
    enf_hub_tick(hub, 2);
    snprintf(expected, sizeof(expected), "%zu-92:%zu ", fits + 1, 92 - fits);
    assert_string_equal(bed->told, expected);
    bed->told[0] = '\0';
    emit(hub, 3, 10);
    enf_hub_tick(hub, 4);
    assert_string_equal(bed->told, "");
    assert_int_equal(unlink(bed->log), 0);
    enf_hub_tick(hub, 2 * ENF_HUB_RETRY_MS);
    snprintf(expected, sizeof(expected), "%zu-102:%zu over ", fits + 1, 102 - fits);
    assert_string_equal(bed->told, expected);
    emit(hub, 2 * ENF_HUB_RETRY_MS, 1);
    read_log(bed, text, sizeof(text));
    snprintf(expected, sizeof(expected), "r1:1-%zu r1:103-111", fits);
    assert_string_equal(text, expected);
    enf_hub_free(&hub);
}

/* Removed between two events: the second goes into a new file, not into one without a name. */
static void test_removed_file(void **state)
{
    struct bed *bed = *state;
    struct enf_hub *hub = make_hub(bed, "r1", 0);
    char text[256];

    emit(hub, 0, 3);
    assert_int_equal(unlink(bed->log), 0);
    emit(hub, 0, 2);
    read_log(bed, text, sizeof(text));
    assert_string_equal(text, "r1:4-5");
    enf_hub_free(&hub);
}

/* A sink that is taken out of the configuration: nobody takes what waits for it. */
static void test_retired_sink(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;
    struct enf_hub *hub;
    char path[128];

    assert_int_equal(symlink("/dev/full", bed->log), 0);
    hub = make_hub(bed, "r1", 0);
    emit(hub, 0, 20);
    assert_int_equal(enf_hub_set_sinks(hub, NULL, 0, false, NULL, 0), 0);
    enf_hub_stats(hub, &stats);
    assert_int_equal(stats.lost, 20);
    assert_string_equal(spool_file(bed, path), "");
    enf_hub_free(&hub);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_order),
        T(test_bound),
        T(test_crash),
        T(test_damage),
        T(test_hub_loses_nothing),
        T(test_hub_starts_without_its_sink),
        T(test_gap_is_told),
        T(test_removed_file),
        T(test_retired_sink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
