/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tracked connections in a real kernel: who is found, who goes, who stays. */
#include "kernel_bed.h"
#include "wire.h"

#include "enforcer/kernel/conntrack.h"

#include <stdlib.h>
#include <sys/wait.h>

struct seen {
    size_t wanted_len;
    size_t deleted;
    size_t kept;
    struct enf_conntrack_entry last;
    const char *client; /* who is to go; NULL: all */
};

static bool on_wanted(void *ctx, const struct enf_conntrack_entry *entry)
{
    struct seen *seen = ctx;
    char text[ENF_PREFIX_STR_LEN];

    if (seen->client && strcmp(enf_addr_str(&entry->client, text, sizeof text), seen->client) != 0)
        return false;
    seen->wanted_len++;
    seen->last = *entry;
    return true;
}

static void on_done(void *ctx, const struct enf_conntrack_entry *entry, enum enf_conntrack_fate fate,
                    int error)
{
    struct seen *seen = ctx;

    (void)entry;
    if (fate == ENF_CONNTRACK_DELETED)
        seen->deleted++;
    else
        seen->kept++;
    assert_int_equal(error, 0);
}

static struct seen cut_ports(const char *client, bool all)
{
    struct enf_conntrack *conntrack = NULL;
    struct seen seen = {.client = client};
    const struct enf_conntrack_ops ops = {on_wanted, on_done, &seen, all};

    assert_int_equal(enf_conntrack_open(&conntrack), 0);
    assert_int_equal(enf_conntrack_cut(conntrack, &ops), 0);
    enf_conntrack_close(&conntrack);
    assert_null(conntrack);
    enf_conntrack_close(&conntrack);
    return seen;
}

static struct seen cut(const char *client)
{
    return cut_ports(client, false);
}

/* A program of conntrack-tools makes the entry that a packet would make. False where it cannot. */
static bool run_conntrack(const char *arguments)
{
    char command[512];

    snprintf(command, sizeof command, "conntrack %s >/dev/null 2>&1", arguments);
    int status = system(command); /* NOLINT(cert-env33-c): a fixed command of the test */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool track(const char *entry)
{
    char arguments[400];

    snprintf(arguments, sizeof arguments, "-I -t 600 -u SEEN_REPLY %s", entry);
    return run_conntrack(arguments);
}

/* Another table switches it on; one entry is of no port that matters. */
static bool tracking(void)
{
    if (bed_nft("table inet stateful { chain c { type filter hook forward priority 0; ct state invalid "
                "counter; }; }") != 0)
        return false;
    run_conntrack("-F");
    return track("-p tcp --state ESTABLISHED -s 192.0.2.99 -d 192.0.2.98 --sport 9 --dport 9");
}

static void test_nothing_is_tracked(void **state)
{
    (void)bed_of(state);
    assert_int_equal(enf_conntrack_count(), 0);
    assert_int_equal(cut(NULL).wanted_len, 0);
    assert_int_equal(enf_conntrack_count(), 0);
}

static void test_who_goes(void **state)
{
    static const char *const lines[] = {
        "-p tcp --state ESTABLISHED -s 100.64.0.7 -d 203.0.113.80 --sport 4000 --dport 25",
        "-p tcp --state ESTABLISHED -s 100.64.0.7 -d 203.0.113.81 --sport 4000 --dport 25",
        "-p tcp --state ESTABLISHED -s 203.0.113.82 -d 100.64.0.7 --sport 25 --dport 4000",
        "-p tcp --state ESTABLISHED -s 100.64.0.8 -d 203.0.113.80 --sport 4000 --dport 25",
        "-p tcp --state ESTABLISHED -s 100.64.0.7 -d 203.0.113.80 --sport 4000 --dport 587",
        "-p udp -s 100.64.0.7 -d 203.0.113.80 --sport 4000 --dport 25",
        "-p tcp --state ESTABLISHED -s 2001:db8::7 -d 2001:db8:f::80 --sport 4000 --dport 25",
        "-p tcp --state ESTABLISHED -s 2001:db8:f::80 -d 2001:db8::7 --sport 25 --dport 4001",
        "-p tcp --state ESTABLISHED -s 100.64.0.7 -d 203.0.113.83 --sport 4000 --dport 25 --zone 7",
    };
    (void)bed_of(state);
    if (!tracking()) {
        print_message("skipped: this kernel does not track connections, or conntrack is not installed\n");
        skip();
    }
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_true(track(lines[i]));
    assert_int_equal(enf_conntrack_count(), 10);

    assert_int_equal(cut("203.0.113.80").wanted_len, 0);
    struct seen seen = cut("100.64.0.7");
    assert_int_equal(seen.wanted_len, 4);
    assert_int_equal(seen.deleted, 4);
    assert_int_equal(seen.kept, 0);
    assert_int_equal(seen.last.client_port, 4000);
    assert_false(seen.last.offloaded);
    assert_int_equal(enf_conntrack_count(), 6);
    assert_int_equal(cut("100.64.0.7").wanted_len, 0);

    assert_int_equal(cut("2001:db8::7").deleted, 2);
    assert_int_equal(cut(NULL).deleted, 1);
    assert_int_equal(enf_conntrack_count(), 3);

    seen = cut_ports("100.64.0.7", true); /* TCP to 587, and UDP to 25, which is no mail */
    assert_int_equal(seen.deleted, 2);
    assert_false(seen.last.smtp);
    assert_true(seen.last.server_port == 25 || seen.last.server_port == 587);
    assert_true(track("-p tcp --state ESTABLISHED -s 100.64.0.7 -d 203.0.113.80 --sport 4000 --dport 80"
                      " --dst-nat 203.0.113.99"));
    seen = cut_ports("100.64.0.7", true);
    char text[ENF_PREFIX_STR_LEN];
    assert_string_equal(enf_addr_str(&seen.last.server, text, sizeof text), "203.0.113.99"); /* translated */
    assert_int_equal(enf_conntrack_count(), 1);
    assert_int_equal(bed_nft("delete table inet stateful"), 0);
}

/* More than one answer of the kernel holds. */
static void test_many(void **state)
{
    enum { MANY = 3000 };
    char path[] = "/tmp/enf-conntrack-XXXXXX", command[128];

    (void)bed_of(state);
    if (!tracking()) {
        print_message("skipped: this kernel does not track connections, or conntrack is not installed\n");
        skip();
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < MANY; i++)
        assert_true(
            dprintf(fd,
                    "-I -t 600 -u SEEN_REPLY -p tcp --state ESTABLISHED -s 100.64.%d.%d -d 203.0.113.80 "
                    "--sport %d --dport 25\n",
                    i / 200, i % 200 + 1, 1024 + i) > 0);
    close(fd);
    snprintf(command, sizeof command, "-R %s", path);
    bool made = run_conntrack(command);
    unlink(path);
    assert_true(made);
    uint64_t before = enf_conntrack_count();
    assert_true(before >= MANY);
    assert_int_equal(cut(NULL).deleted, MANY);
    assert_int_equal(enf_conntrack_count(), before - MANY);
    assert_int_equal(bed_nft("delete table inet stateful"), 0);
}

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_nothing_is_tracked, state),
        cmocka_unit_test_prestate(test_who_goes, state),
        cmocka_unit_test_prestate(test_many, state),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
