/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hub loses nothing quietly: numbering, the ring's caps, full disks, short writes, rotation, reload. */
#include "enforcer/sinks/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_LEN 128

struct bed {
    char dir[PATH_LEN];
    char log[PATH_LEN + 16];
    struct enf_hub *hub;
    uint64_t heard; /* last sequence the listener got */
};

static void listen_to(void *ctx, const struct enf_hub_line *line)
{
    struct bed *bed = ctx;

    assert_int_equal(line->sequence, bed->heard + 1);
    assert_int_equal(line->text[line->len - 1], '\n');
    bed->heard = line->sequence;
}

static void make_hub(struct bed *bed, size_t lines, size_t bytes)
{
    struct enf_hub_params params = {
        .run = "r1", .ring_lines = lines, .ring_bytes = bytes, .listener = listen_to, .listener_ctx = bed};

    enf_hub_free(&bed->hub);
    bed->heard = 0;
    assert_int_equal(enf_hub_new(&params, &bed->hub), 0);
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-hub-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->log, sizeof(bed->log), "%s/events.json", bed->dir);
    make_hub(bed, 0, 0);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    char command[PATH_LEN + 16];

    enf_hub_free(&bed->hub);
    snprintf(command, sizeof(command), "rm -rf %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
    free(bed);
    return 0;
}

static int set_sink(struct bed *bed, const char *path)
{
    struct enf_hub_sink sink = {path};
    char error[256] = "";

    return enf_hub_set_sinks(bed->hub, &sink, path ? 1 : 0, false, error, sizeof(error));
}

static void emit(struct bed *bed, uint64_t now_ms, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct enf_event event = {.action = ENF_EVENT_STARTED, .time_ms = 1000 + now_ms};

        assert_int_equal(enf_hub_emit(bed->hub, now_ms, &event), 0);
    }
}

/* Reads the sequences of a file: checks that they ascend by one from first; returns how many lines there are.
 * A line that is no JSON is counted in *torn. */
static size_t read_log(const char *path, uint64_t first, size_t *torn)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    size_t n = 0;

    *torn = 0;
    assert_non_null(f);
    while (getline(&line, &cap, f) > 0) {
        json_t *json = json_loads(line, 0, NULL);

        if (!json) {
            (*torn)++;
            continue;
        }
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "event"), "sequence")),
                         first + n);
        json_decref(json);
        n++;
    }
    free(line);
    fclose(f);
    return n;
}

static void test_numbers_without_gaps(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;
    size_t torn;

    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 100);
    assert_int_equal(read_log(bed->log, 1, &torn), 100);
    assert_int_equal(torn, 0);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.sequence, 100);
    assert_int_equal(stats.written, 100);
    assert_int_equal(stats.lost, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(bed->heard, 100);
}

static void test_unrendered_event_shows_as_gap(void **state)
{
    struct bed *bed = *state;
    struct enf_event event = {.action = (enum enf_event_action)99};
    struct enf_hub_stats stats;

    assert_int_equal(enf_hub_emit(bed->hub, 0, &event), -EINVAL);
    assert_int_equal(event.sequence, 1);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(stats.sequence, 1);
}

static void test_file_and_folder_modes(void **state)
{
    struct bed *bed = *state;
    char path[PATH_LEN + 32];
    struct stat st;
    mode_t mask = umask(077);

    snprintf(path, sizeof(path), "%s/sub/events.json", bed->dir);
    assert_int_equal(set_sink(bed, path), 0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    snprintf(path, sizeof(path), "%s/sub", bed->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777 & ~0750, 0);
}

static void test_unopenable_sink_keeps_the_old(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sinks[2] = {{bed->log}, {bed->dir}};
    char error[256] = "";
    size_t torn;

    assert_int_equal(set_sink(bed, bed->log), 0);
    assert_int_equal(enf_hub_set_sinks(bed->hub, sinks, 2, false, error, sizeof(error)), -EISDIR);
    assert_non_null(strstr(error, bed->dir));
    assert_non_null(strstr(error, "Is a directory"));
    emit(bed, 0, 3);
    assert_int_equal(read_log(bed->log, 1, &torn), 3);
}

static void test_too_many_sinks(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sinks[ENF_HUB_SINKS_MAX + 1] = {0};
    char paths[ENF_HUB_SINKS_MAX + 1][PATH_LEN + 16];
    char error[256] = "";

    for (size_t i = 0; i <= ENF_HUB_SINKS_MAX; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%zu", bed->dir, i);
        sinks[i].path = paths[i];
    }
    assert_int_equal(enf_hub_set_sinks(bed->hub, sinks, ENF_HUB_SINKS_MAX, false, error, sizeof(error)), 0);
    assert_int_equal(enf_hub_set_sinks(bed->hub, sinks, ENF_HUB_SINKS_MAX + 1, false, error, sizeof(error)),
                     -E2BIG);
    assert_non_null(strstr(error, "16"));
}

static void test_reload_keeps_the_numbers(void **state)
{
    struct bed *bed = *state;
    char other[PATH_LEN + 16];
    struct enf_hub_sink both[3] = {{bed->log}, {other}, {other}};
    struct enf_hub_stats stats;
    size_t torn;

    snprintf(other, sizeof(other), "%s/other.json", bed->dir);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 5);
    assert_int_equal(enf_hub_set_sinks(bed->hub, both, 3, false, NULL, 0), 0);
    emit(bed, 0, 5);
    assert_int_equal(set_sink(bed, other), 0);
    emit(bed, 0, 5);
    assert_int_equal(read_log(bed->log, 1, &torn), 10);
    assert_int_equal(read_log(other, 6, &torn), 10); /* named twice, written once */
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.written, 20);
    assert_int_equal(stats.sequence, 15);
    assert_int_equal(set_sink(bed, NULL), 0);
    emit(bed, 0, 1);
    assert_int_equal(bed->heard, 16);
}

static void test_ring_caps(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_line line;
    struct enf_hub_stats stats;
    size_t one;

    make_hub(bed, 4, 0);
    emit(bed, 0, 4);
    assert_int_equal(enf_hub_next(bed->hub, 0, &line), 1);
    assert_int_equal(line.sequence, 1);
    one = line.len;
    emit(bed, 0, 1);
    assert_int_equal(enf_hub_next(bed->hub, 0, &line), 1);
    assert_int_equal(line.sequence, 2);

    make_hub(bed, 100, 3 * one); /* the run of one digit numbers: all lines have one length */
    emit(bed, 0, 3);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.ring_lines, 3);
    assert_int_equal(stats.ring_bytes, 3 * one);
    emit(bed, 0, 1);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.ring_lines, 3);
    assert_int_equal(enf_hub_next(bed->hub, 0, &line), 1);
    assert_int_equal(line.sequence, 2);

    make_hub(bed, 100, 1); /* smaller than a line: the newest stays */
    emit(bed, 0, 2);
    assert_int_equal(enf_hub_next(bed->hub, 0, &line), 1);
    assert_int_equal(line.sequence, 2);
}

static void test_next_and_since(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_line line;

    assert_int_equal(enf_hub_since(bed->hub, 0), 1);
    assert_int_equal(enf_hub_next(bed->hub, 0, &line), 0);
    emit(bed, 0, 2);   /* at 1000 */
    emit(bed, 500, 2); /* at 1500 */
    assert_int_equal(enf_hub_since(bed->hub, 0), 1);
    assert_int_equal(enf_hub_since(bed->hub, 1000), 1);
    assert_int_equal(enf_hub_since(bed->hub, 1001), 3);
    assert_int_equal(enf_hub_since(bed->hub, 1500), 3);
    assert_int_equal(enf_hub_since(bed->hub, 1501), 5);
    assert_int_equal(enf_hub_since(bed->hub, UINT64_MAX), 5);
    assert_int_equal(enf_hub_next(bed->hub, 4, &line), 1);
    assert_int_equal(line.sequence, 4);
    assert_int_equal(line.time_ms, 1500);
    assert_int_equal(line.action, ENF_EVENT_STARTED);
    assert_int_equal(enf_hub_next(bed->hub, 5, &line), 0);
}

/* A full disk, played by a link to /dev/full that later names a file. */
static void test_full_disk_catches_up(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink_stats sink;
    struct enf_hub_stats stats;
    size_t torn;

    assert_int_equal(symlink("/dev/full", bed->log), 0);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 10);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 0, &sink), 0);
    assert_int_equal(sink.error, ENOSPC);
    assert_int_equal(sink.failures, 1); /* not one attempt an event */
    assert_int_equal(sink.lost, 0);
    enf_hub_tick(bed->hub, ENF_HUB_RETRY_MS - 1);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 0, &sink), 0);
    assert_int_equal(sink.failures, 1);
    enf_hub_tick(bed->hub, ENF_HUB_RETRY_MS);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 0, &sink), 0);
    assert_int_equal(sink.failures, 2);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.waiting, 10);
    assert_int_equal(unlink(bed->log), 0);
    enf_hub_tick(bed->hub, 3 * ENF_HUB_RETRY_MS);
    emit(bed, 3 * ENF_HUB_RETRY_MS, 1);
    assert_int_equal(read_log(bed->log, 1, &torn), 11);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 0, &sink), 0);
    assert_int_equal(sink.error, 0);
    assert_int_equal(sink.written, 11);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 1, &sink), -ENOENT);
}

static void test_backlog_beyond_the_ring_is_lost_and_counted(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;
    size_t torn;

    make_hub(bed, 8, 0);
    assert_int_equal(symlink("/dev/full", bed->log), 0);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 20);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.lost, 12);
    assert_int_equal(stats.waiting, 8);
    assert_int_equal(unlink(bed->log), 0);
    enf_hub_tick(bed->hub, ENF_HUB_RETRY_MS);
    assert_int_equal(read_log(bed->log, 13, &torn), 8);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.lost, 12);
    assert_int_equal(stats.waiting, 0);
}

/* A pipe takes what fits: the rest of the line comes later, nothing twice. */
static void test_short_writes_go_on(void **state)
{
    struct bed *bed = *state;
    char *all = malloc(4 << 20);
    size_t len = 0;
    uint64_t now = 0;
    uint64_t expected = 1;
    int fd;

    assert_int_equal(mkfifo(bed->log, 0600), 0);
    assert_int_equal(set_sink(bed, bed->log), 0);
    fd = open(bed->log, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    emit(bed, 0, 1000);
    for (int i = 0; i < 50; i++) {
        ssize_t n;

        while ((n = read(fd, all + len, 4096)) > 0)
            len += (size_t)n;
        now += ENF_HUB_RETRY_MS;
        enf_hub_tick(bed->hub, now);
    }
    close(fd);
    all[len] = '\0';
    for (char *line = all, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);

        assert_non_null(json);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "event"), "sequence")),
                         expected);
        expected++;
        json_decref(json);
    }
    assert_int_equal(expected, 1001);
    free(all);
}

static void test_rotation(void **state)
{
    struct bed *bed = *state;
    char old[PATH_LEN + 32];
    size_t torn;

    snprintf(old, sizeof(old), "%s.1", bed->log);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 3);
    assert_int_equal(rename(bed->log, old), 0);
    emit(bed, 0, 1);
    assert_int_equal(enf_hub_reopen(bed->hub, NULL, 0), 0);
    emit(bed, 0, 2);
    assert_int_equal(read_log(old, 1, &torn), 4);
    assert_int_equal(read_log(bed->log, 5, &torn), 2);
    /* without a signal, the tick notices */
    assert_int_equal(unlink(bed->log), 0);
    enf_hub_tick(bed->hub, 1);
    emit(bed, 1, 2);
    assert_int_equal(read_log(bed->log, 7, &torn), 2);
}

static void test_reopen_failure_keeps_writing(void **state)
{
    struct bed *bed = *state;
    char old[PATH_LEN + 32];
    char error[256] = "";
    size_t torn;

    snprintf(old, sizeof(old), "%s.1", bed->log);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 1);
    assert_int_equal(rename(bed->log, old), 0);
    assert_int_equal(mkdir(bed->log, 0700), 0);
    assert_int_equal(enf_hub_reopen(bed->hub, error, sizeof(error)), -EISDIR);
    assert_non_null(strstr(error, bed->log));
    emit(bed, ENF_HUB_RETRY_MS, 1);
    assert_int_equal(read_log(old, 1, &torn), 2);
}

/* Half a line of a daemon that was killed does not swallow the first one of the next. */
static void test_torn_end_is_closed_off(void **state)
{
    struct bed *bed = *state;
    FILE *f = fopen(bed->log, "we");
    size_t torn;

    assert_non_null(f);
    fputs("{\"half\":", f);
    fclose(f);
    assert_int_equal(set_sink(bed, bed->log), 0);
    emit(bed, 0, 2);
    assert_int_equal(read_log(bed->log, 1, &torn), 2);
    assert_int_equal(torn, 1);
}

static size_t lines_of(const char *path)
{
    size_t torn, lines = read_log(path, 1, &torn);

    assert_int_equal(torn, 0);
    return lines;
}

static void test_held_lines_go_out_together(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(set_sink(bed, bed->log), 0);
    enf_hub_hold(bed->hub);
    emit(bed, 0, 63);
    assert_int_equal(lines_of(bed->log), 0);
    assert_int_equal(bed->heard, 63);
    emit(bed, 0, 2);
    assert_int_equal(lines_of(bed->log), 64);
    enf_hub_release(bed->hub, 0);
    assert_int_equal(lines_of(bed->log), 65);
    emit(bed, 0, 1);
    assert_int_equal(lines_of(bed->log), 66);
}

/* What is held is neither forgotten by the tick or the end, nor does it fall out of a small memory. */
static void test_held_lines_are_not_lost(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_stats stats;

    make_hub(bed, 4, 0);
    assert_int_equal(set_sink(bed, bed->log), 0);
    enf_hub_hold(bed->hub);
    emit(bed, 0, 11);
    assert_int_equal(lines_of(bed->log), 8);
    enf_hub_tick(bed->hub, 0);
    assert_int_equal(lines_of(bed->log), 11);
    emit(bed, 0, 3);
    enf_hub_stats(bed->hub, &stats);
    assert_int_equal(stats.lost, 0);
    enf_hub_free(&bed->hub);
    assert_int_equal(lines_of(bed->log), 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_without_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unrendered_event_shows_as_gap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_and_folder_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unopenable_sink_keeps_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_sinks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload_keeps_the_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ring_caps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_and_since, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk_catches_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backlog_beyond_the_ring_is_lost_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_writes_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_failure_keeps_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_lines_go_out_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_lines_are_not_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_end_is_closed_off, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
