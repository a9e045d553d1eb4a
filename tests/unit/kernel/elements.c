/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Set elements in a real kernel: single subscribers, prefixes, relays, meters; what is written is read back.
 */
#include "kernel_bed.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct enf_kernel_single single(const char *subscriber, uint64_t timeout_ms)
{
    return (struct enf_kernel_single){.subscriber = bed_prefix(subscriber), .timeout_ms = timeout_ms};
}

static struct enf_kernel_single gone(const char *subscriber)
{
    return (struct enf_kernel_single){.subscriber = bed_prefix(subscriber), .remove = true};
}

static int put(struct kernel_bed *k, struct enf_kernel_single one)
{
    return enf_kernel_singles(k->kernel, &one, 1);
}

/* --- single subscribers
 * --------------------------------------------------------------------------------------- */

static void test_add_replace_remove(void **state)
{
    struct kernel_bed *k = bed_of(state);

    assert_int_equal(put(k, single("100.64.0.7", HOUR)), 0);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7"), HOUR);
    /* Longer, shorter, for ever, and back: a second add sets the time whatever the kernel's version. */
    static const uint64_t times[] = {7 * 24 * HOUR, MINUTE, ENF_FOREVER, 2 * HOUR, ENF_DURATION_MAX};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        assert_int_equal(put(k, single("100.64.0.7", times[i])), 0);
        about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7"), times[i]);
        assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 1);
    }
    assert_int_equal(put(k, gone("100.64.0.7")), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 0);
    assert_int_equal(put(k, gone("100.64.0.7")), 0); /* absent: fine */
    assert_int_equal(enf_kernel_singles(k->kernel, NULL, 0), 0);
}

/* What is over is over: no rest must not become "for ever", which is what the kernel makes of no timeout. */
static void test_nothing_left(void **state)
{
    struct kernel_bed *k = bed_of(state);

    assert_int_equal(put(k, single("100.64.0.7", 0)), 0);
    assert_true(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7") < MINUTE);
    /* More than the kernel can count: as good as for ever, not refused. */
    assert_int_equal(put(k, single("100.64.0.8", ENF_FOREVER - 1)), 0);
    assert_true(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.8") > ENF_DURATION_MAX);
}

static void test_both_families(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_single many[] = {
        single("100.64.0.7", HOUR), single("2001:db8:1000:700::/56", 2 * HOUR),
        single("0.0.0.0", HOUR),    single("255.255.255.255", ENF_FOREVER),
        single("::", HOUR),         single("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", HOUR),
        gone("100.64.0.9"),         gone("2001:db8:1000:900::/56"),
    };

    assert_int_equal(enf_kernel_singles(k->kernel, many, sizeof many / sizeof *many), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 3);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6), 3);
    about(bed_left(k, ENF_KERNEL_QUARANTINE6, "2001:db8:1000:700::"), 2 * HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "255.255.255.255"), ENF_FOREVER);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "0.0.0.0"), HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE6, "::"), HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), HOUR);
    struct enf_kernel_single back[] = {gone("100.64.0.7"), gone("2001:db8:1000:700::/56"), gone("::")};
    assert_int_equal(enf_kernel_singles(k->kernel, back, 3), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 2);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6), 1);
}

/* One subscriber twice in a list: the last word counts. */
static void test_twice_in_one_list(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_single changed[] = {single("100.64.0.7", HOUR), single("100.64.0.7", 2 * HOUR)};
    struct enf_kernel_single removed[] = {single("100.64.0.8", HOUR), gone("100.64.0.8")};
    struct enf_kernel_single added[] = {gone("100.64.0.9"), single("100.64.0.9", HOUR)};
    struct enf_kernel_single twice[] = {gone("100.64.0.10"), gone("100.64.0.10")};
    struct enf_kernel_single mixed[] = {single("2001:db8::/64", HOUR), gone("100.64.0.7"),
                                        gone("2001:db8::/64"), single("100.64.0.7", 3 * HOUR),
                                        single("2001:db8::/64", MINUTE)};

    assert_int_equal(enf_kernel_singles(k->kernel, changed, 2), 0);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7"), 2 * HOUR);
    assert_int_equal(enf_kernel_singles(k->kernel, removed, 2), 0);
    assert_int_equal(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.8"), 0);
    assert_int_equal(enf_kernel_singles(k->kernel, added, 2), 0);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.9"), HOUR);
    assert_int_equal(enf_kernel_singles(k->kernel, twice, 2), 0);
    assert_int_equal(enf_kernel_singles(k->kernel, mixed, 5), 0);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7"), 3 * HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE6, "2001:db8::"), MINUTE);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 2);
}

static struct enf_prefix numbered(enum enf_family family, uint32_t n)
{
    uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8};

    if (family == ENF_FAMILY_V4)
        memcpy(bytes, (uint8_t[]){10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 4);
    else
        memcpy(bytes + 4, (uint8_t[]){(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 3);
    struct enf_addr addr = enf_addr_from_bytes(family, bytes);
    return enf_prefix_host(&addr);
}

static void fill(struct kernel_bed *k, enum enf_family family, uint32_t len)
{
    static struct enf_kernel_single chunk[ENF_KERNEL_CHUNK];

    for (uint32_t i = 0; i < len; i += ENF_KERNEL_CHUNK) {
        for (uint32_t j = 0; j < ENF_KERNEL_CHUNK; j++)
            chunk[j] = (struct enf_kernel_single){.subscriber = numbered(family, i + j), .timeout_ms = HOUR};
        assert_int_equal(enf_kernel_singles(k->kernel, chunk, ENF_KERNEL_CHUNK), 0);
    }
}

/* A whole chunk at once, of both families, added, replaced and removed; around the size of one message. */
static void test_chunks(void **state)
{
    static const size_t sizes[] = {1, 2, 99, 100, 101, 199, 200, 201, ENF_KERNEL_CHUNK};
    static struct enf_kernel_single many[ENF_KERNEL_CHUNK];
    struct kernel_bed *k = bed_of(state);

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t len = sizes[s];
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < len; i++)
                many[i] = (struct enf_kernel_single){
                    .subscriber = numbered(i % 2 ? ENF_FAMILY_V6 : ENF_FAMILY_V4, (uint32_t)i),
                    .timeout_ms = (uint64_t)(round + 1) * HOUR,
                    .remove = round == 2};
            assert_int_equal(enf_kernel_singles(k->kernel, many, len), 0);
            size_t v4 = bed_count(k, ENF_KERNEL_QUARANTINE4), v6 = bed_count(k, ENF_KERNEL_QUARANTINE6);
            assert_int_equal(v4, round == 2 ? 0 : (len + 1) / 2);
            assert_int_equal(v6, round == 2 ? 0 : len / 2);
            if (round == 1)
                about(bed_left(k, ENF_KERNEL_QUARANTINE4, "10.0.0.0"), 2 * HOUR);
        }
    }
}

/* As many as a busy provider has: written in chunks, read back whole. */
static void test_many_singles(void **state)
{
    enum { MANY = 20000 };
    static struct enf_kernel_single chunk[ENF_KERNEL_CHUNK];
    struct kernel_bed *k = bed_of(state);

    for (uint32_t i = 0; i < MANY; i += ENF_KERNEL_CHUNK) {
        for (uint32_t j = 0; j < ENF_KERNEL_CHUNK; j++)
            chunk[j] = (struct enf_kernel_single){.subscriber = numbered(ENF_FAMILY_V4, i + j),
                                                  .timeout_ms = HOUR + (i + j) * 1000ULL};
        assert_int_equal(enf_kernel_singles(k->kernel, chunk, ENF_KERNEL_CHUNK), 0);
    }
    struct bed_elements all = bed_read(k, ENF_KERNEL_QUARANTINE4);
    /* The kernel makes its hash table larger in the background, and a dump meanwhile leaves elements out: who
     * misses one asks for it. Here it is read again. */
    for (int i = 0; all.len != MANY && i < 100; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        free(all.items);
        all = bed_read(k, ENF_KERNEL_QUARANTINE4);
    }
    assert_int_equal(all.len, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        struct enf_prefix expected = numbered(ENF_FAMILY_V4, i);
        assert_true(enf_addr_equal(&all.items[i].range.first, &expected.addr));
        assert_true(enf_addr_equal(&all.items[i].range.last, &expected.addr));
        about(all.items[i].expires_ms, HOUR + i * 1000ULL);
    }
    free(all.items);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6), 0);
    /* A reload of the rules with all of them there: they stay. */
    bed_load_text(k->text);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), MANY);
}

/* --- prefixes
 * -------------------------------------------------------------------------------------------------- */

#define NETS_MAX 6
#define ALL4     "0.0.0.0-255.255.255.255"
#define LAST6    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static const struct {
    const char *name;
    enum enf_family family;
    const char *ranges[NETS_MAX];
} net_rows[] = {
    {"none", ENF_FAMILY_V4, {NULL}},
    {"one host", ENF_FAMILY_V4, {"192.0.2.1"}},
    {"one prefix", ENF_FAMILY_V4, {"192.0.2.0-192.0.2.255"}},
    {"from the first address on", ENF_FAMILY_V4, {"0.0.0.0-0.255.255.255"}},
    {"the first address", ENF_FAMILY_V4, {"0.0.0.0"}},
    {"to the last address", ENF_FAMILY_V4, {"255.0.0.0-255.255.255.255"}},
    {"the last address", ENF_FAMILY_V4, {"255.255.255.255"}},
    {"the last but one", ENF_FAMILY_V4, {"255.255.255.254"}},
    {"everything", ENF_FAMILY_V4, {ALL4}},
    {"both ends", ENF_FAMILY_V4, {"0.0.0.0", "255.255.255.255"}},
    {"adjacent", ENF_FAMILY_V4, {"192.0.2.0-192.0.2.127", "192.0.2.128-192.0.2.255"}},
    {"adjacent hosts", ENF_FAMILY_V4, {"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
    {"adjacent to the very end", ENF_FAMILY_V4, {"0.0.0.0-127.255.255.255", "128.0.0.0-255.255.255.255"}},
    {"odd ends", ENF_FAMILY_V4, {"10.0.0.1-10.0.0.6", "10.0.0.8-10.0.3.1", "172.16.0.0-172.31.255.255"}},
    {"IPv6: one prefix", ENF_FAMILY_V6, {"2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}},
    {"IPv6: both ends", ENF_FAMILY_V6, {"::", LAST6}},
    {"IPv6: everything", ENF_FAMILY_V6, {"::-" LAST6}},
    {"IPv6: adjacent", ENF_FAMILY_V6, {"::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::-" LAST6}},
};

typedef int (*replace_fn)(struct enf_kernel *kernel, enum enf_family family,
                          const struct enf_kernel_net *nets, size_t len);

static void check_replace(struct kernel_bed *k, replace_fn replace, enum enf_kernel_set set4,
                          enum enf_kernel_set set6, bool timeouts)
{
    /* Twice: each row also replaces what the row before left. */
    for (size_t i = 0; i < 2 * (sizeof net_rows / sizeof *net_rows); i++) {
        size_t row = i % (sizeof net_rows / sizeof *net_rows);
        enum enf_family family = net_rows[row].family;
        struct enf_kernel_net nets[NETS_MAX];
        size_t len = 0;
        for (; len < NETS_MAX && net_rows[row].ranges[len]; len++)
            nets[len] = (struct enf_kernel_net){range_of(net_rows[row].ranges[len]),
                                                len == 1 ? ENF_FOREVER : (len + 1) * HOUR};
        int err = replace(k->kernel, family, nets, len);
        if (err != 0)
            fail_msg("%s: %d", net_rows[row].name, err);
        struct bed_elements all = bed_read(k, family == ENF_FAMILY_V4 ? set4 : set6);
        if (all.len != len)
            fail_msg("%s: %zu ranges are read", net_rows[row].name, all.len);
        for (size_t j = 0; j < len; j++) {
            if (!enf_addr_equal(&all.items[j].range.first, &nets[j].range.first) ||
                !enf_addr_equal(&all.items[j].range.last, &nets[j].range.last))
                fail_msg("%s: range %zu is another", net_rows[row].name, j);
            about(all.items[j].expires_ms, timeouts ? nets[j].timeout_ms : ENF_FOREVER);
        }
        free(all.items);
    }
}

static void test_nets(void **state)
{
    check_replace(bed_of(state), bed_smtp_nets, ENF_KERNEL_QUARANTINE_NETS4, ENF_KERNEL_QUARANTINE_NETS6,
                  true);
}

static void test_relays(void **state)
{
    check_replace(bed_of(state), enf_kernel_relays_replace, ENF_KERNEL_RELAYS4, ENF_KERNEL_RELAYS6, false);
}

/* All or nothing: a list that the kernel refuses leaves what was there. */
static void test_overlap_changes_nothing(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net good[] = {{range_of("192.0.2.0-192.0.2.255"), HOUR}};
    struct enf_kernel_net bad[] = {{range_of("10.0.0.0-10.0.0.255"), HOUR},
                                   {range_of("10.0.0.128-10.0.1.255"), HOUR}};

    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, good, 1), 0);
    assert_true(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, bad, 2) < 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 1);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "192.0.2.7"), HOUR);
    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, good, 1), 0);
}

static void test_nets_nothing_left(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net over[] = {{range_of("192.0.2.0-192.0.2.255"), 0},
                                    {range_of("198.51.100.0-198.51.100.255"), ENF_FOREVER - 1}};

    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, over, 2), 0);
    assert_true(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "192.0.2.7") < MINUTE);
    assert_true(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "198.51.100.7") > ENF_DURATION_MAX);
}

static void test_many_nets(void **state)
{
    enum { MANY = 20000 };
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net *nets = calloc(MANY, sizeof *nets);

    assert_non_null(nets);
    if (k->own_user) {
        free(nets);
        print_message("skipped: socket buffers of that size take root\n");
        skip();
    }
    /* Every second one is adjacent to the one before. */
    for (uint32_t i = 0; i < MANY; i++) {
        nets[i].range = (struct enf_range){numbered(ENF_FAMILY_V4, i * 8 + (i % 2 ? 0 : 4)).addr,
                                           numbered(ENF_FAMILY_V4, i * 8 + 7).addr};
        nets[i].timeout_ms = i % 3 ? HOUR : ENF_FOREVER;
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, nets, MANY), 0);
        struct bed_elements all = bed_read(k, ENF_KERNEL_QUARANTINE_NETS4);
        assert_int_equal(all.len, MANY);
        for (uint32_t i = 0; i < MANY; i++) {
            assert_memory_equal(&all.items[i].range, &nets[i].range, sizeof nets[i].range);
            about(all.items[i].expires_ms, nets[i].timeout_ms);
        }
        free(all.items);
    }
    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, NULL, 0), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 0);
    free(nets);
}

/* Short timeouts end while others stay: half a pair of marks must not swallow its neighbours. */
static void test_expiry_of_a_neighbour(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net nets[] = {{range_of("10.0.0.0-10.0.0.255"), HOUR},
                                    {range_of("10.0.1.0-10.0.1.255"), 50},
                                    {range_of("10.0.2.0-10.0.2.255"), HOUR},
                                    {range_of("10.0.4.0-10.0.4.255"), 50},
                                    {range_of("10.0.6.0-10.0.6.255"), HOUR}};
    struct timespec wait = {.tv_nsec = 200000000};

    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, nets, 5), 0);
    nanosleep(&wait, NULL);
    struct bed_elements all = bed_read(k, ENF_KERNEL_QUARANTINE_NETS4);
    assert_int_equal(all.len, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(&all.items[i].range, &nets[2 * i].range, sizeof nets[0].range);
    free(all.items);
}

/* --- others
 * ---------------------------------------------------------------------------------------------------- */

static int stop_at_second(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    (void)range;
    (void)expires_ms;
    return ++*(int *)ctx == 2 ? 42 : 0;
}

/* A reader that has seen enough; and after it the socket is good for the next question. */
static void test_stop_reading(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net nets[] = {{range_of("10.0.0.0-10.0.0.255"), HOUR},
                                    {range_of("10.0.1.0-10.0.1.255"), HOUR},
                                    {range_of("10.0.2.0-10.0.2.255"), HOUR}};
    int count = 0;

    fill(k, ENF_FAMILY_V4, 5 * ENF_KERNEL_CHUNK);
    assert_int_equal(enf_kernel_read_set(k->kernel, ENF_KERNEL_QUARANTINE4, stop_at_second, &count), 42);
    assert_int_equal(count, 2);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 5 * ENF_KERNEL_CHUNK);
    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, nets, 3), 0);
    count = 0;
    assert_int_equal(enf_kernel_read_set(k->kernel, ENF_KERNEL_QUARANTINE_NETS4, stop_at_second, &count), 42);
    assert_int_equal(count, 2);
}

/* Adds and removes other elements of the set again and again, in a process of its own, until it is killed. */
static pid_t start_disturbing(void)
{
    static struct enf_kernel_single many[50];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    struct enf_kernel *kernel = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int err = enf_kernel_open(&kernel);
    for (uint32_t round = 0; err == 0 && getppid() != 1; round++) {
        for (uint32_t i = 0; i < 50; i++)
            many[i] = (struct enf_kernel_single){
                .subscriber = numbered(ENF_FAMILY_V6, 1000000 + i), .timeout_ms = HOUR, .remove = round % 2};
        err = enf_kernel_singles(kernel, many, 50);
    }
    _exit(1);
}

/* Somebody changes the set while it is read: what is given is all that was there throughout, once each; or it
 * is said that the set was never at rest. */
static void test_read_while_changed(void **state)
{
    enum { MANY = 10 * ENF_KERNEL_CHUNK };
    struct kernel_bed *k = bed_of(state);
    struct enf_prefix end = numbered(ENF_FAMILY_V6, MANY);
    int whole = 0, refused = 0, rounds = getenv("ENFORCER_SEQUENCES") ? 5 : 40;

    fill(k, ENF_FAMILY_V6, MANY);
    pid_t pid = start_disturbing();
    assert_true(pid > 0);
    for (int i = 0; i < rounds; i++) {
        struct bed_elements all = {0};
        size_t stable = 0;
        int err = enf_kernel_read_set(k->kernel, ENF_KERNEL_QUARANTINE6, bed_on_element, &all);
        for (size_t j = 0; j < all.len; j++) {
            stable += enf_addr_cmp(&all.items[j].range.first, &end.addr) < 0;
            assert_true(j == 0 || enf_addr_cmp(&all.items[j - 1].range.first, &all.items[j].range.first) < 0);
        }
        assert_true(err == 0 || err == -EINTR);
        assert_int_equal(stable, err == 0 ? MANY : 0);
        refused += err < 0;
        whole += err == 0;
        free(all.items);
        /* Asked for one by one they are there, always. */
        struct enf_prefix some[] = {numbered(ENF_FAMILY_V6, (uint32_t)i), numbered(ENF_FAMILY_V6, MANY)};
        uint64_t left[2];
        assert_int_equal(enf_kernel_singles_left(k->kernel, ENF_KERNEL_TIER_SMTP, some, 2, left), 0);
        about(left[0], HOUR);
        assert_int_equal(left[1], 0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    print_message("%d readings were whole, %d were refused\n", whole, refused);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6) >= MANY, 1);
}

static void test_left(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_prefix asked[] = {bed_prefix("100.64.0.7"), bed_prefix("100.64.0.8"), bed_prefix("100.64.0.9"),
                                 bed_prefix("2001:db8:1000:700::/56"), bed_prefix("2001:db8:1000:800::/56")};
    struct enf_kernel_single singles[] = {single("100.64.0.7", HOUR), single("100.64.0.9", ENF_FOREVER),
                                          single("2001:db8:1000:700::/56", MINUTE)};
    uint64_t left[5];

    assert_int_equal(enf_kernel_singles(k->kernel, singles, 3), 0);
    assert_int_equal(enf_kernel_singles_left(k->kernel, ENF_KERNEL_TIER_SMTP, asked, 5, left), 0);
    about(left[0], HOUR);
    assert_int_equal(left[1], 0);
    about(left[2], ENF_FOREVER);
    about(left[3], MINUTE);
    assert_int_equal(left[4], 0);
    assert_int_equal(enf_kernel_singles_left(k->kernel, ENF_KERNEL_TIER_SMTP, NULL, 0, NULL), 0);
}

static void test_governed(void **state)
{
    struct kernel_bed *k = bed_of(state);
    static const char *const names[] = {"eth1", "ppp0", "abcdefghijklmno", "eth1"};
    static const char *const fewer[] = {"ppp0"};

    assert_int_equal(enf_kernel_governed_replace(k->kernel, names, 4), 0);
    assert_int_equal(
        bed_nft("get element inet enforcer governed_if { \"eth1\", \"ppp0\", \"abcdefghijklmno\" }"), 0);
    assert_int_equal(enf_kernel_governed_replace(k->kernel, fewer, 1), 0);
    assert_int_equal(bed_nft("get element inet enforcer governed_if { \"ppp0\" }"), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer governed_if { \"eth1\" }"), 0);
    bed_load_text(k->text); /* a reload leaves it */
    assert_int_equal(bed_nft("get element inet enforcer governed_if { \"ppp0\" }"), 0);
    assert_int_equal(enf_kernel_governed_replace(k->kernel, NULL, 0), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer governed_if { \"ppp0\" }"), 0);
}

static void test_meters(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_prefix v4 = bed_prefix("100.64.0.7"), v6 = bed_prefix("2001:db8:1000:700::/56");
    struct enf_prefix some[] = {v4, v6, bed_prefix("100.64.0.10"), v4};

    assert_int_equal(enf_kernel_meters_reset(k->kernel, some, 4), 0); /* absent */
    assert_int_equal(enf_kernel_meters_reset(k->kernel, some, 0), 0);
    assert_int_equal(
        bed_nft("add element inet enforcer meter4 { 100.64.0.7 limit rate over 1/minute, "
                "100.64.0.8 limit rate over 1/minute }\n"
                "add element inet enforcer meter6 { 2001:db8:1000:700:: limit rate over 1/minute }\n"
                "add element inet enforcer cap4 { 100.64.0.9 limit rate over 1/minute }\n"),
        0);
    assert_int_equal(enf_kernel_meters_reset(k->kernel, some, 4), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer meter4 { 100.64.0.7 }"), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer meter6 { 2001:db8:1000:700:: }"), 0);
    assert_int_equal(bed_nft("get element inet enforcer meter4 { 100.64.0.8 }"), 0);
    assert_int_equal(enf_kernel_meters_flush(k->kernel), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer meter4 { 100.64.0.8 }"), 0);
    assert_int_not_equal(bed_nft("get element inet enforcer cap4 { 100.64.0.9 }"), 0);
}

static void on_counter(void *ctx, const char *name, uint64_t packets, uint64_t bytes)
{
    (void)name;
    assert_int_equal(packets + bytes, 0);
    ++*(int *)ctx;
}

/* Somebody deleted the table, or one of its sets: every call says so, and works again when it is back. */
static void test_table_missing(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net net = {range_of("192.0.2.0-192.0.2.255"), HOUR};
    struct enf_prefix subscriber = bed_prefix("100.64.0.7");
    enum enf_kernel_queue kind = ENF_KERNEL_QUEUE_NATIVE;
    size_t rules = 0;
    int counters = 0;

    for (int round = 0; round < 2; round++) {
        assert_int_equal(bed_nft("delete table inet enforcer"), 0);
        if (round == 1) /* another table of that name is none of ours */
            assert_int_equal(
                bed_nft("add table ip enforcer; add chain ip enforcer c; add rule ip enforcer c drop\n"
                        "add table inet other; add chain inet other c; add rule inet other c drop\n"
                        "add counter inet other n"),
                0);
        assert_int_equal(put(k, single("100.64.0.7", HOUR)), -ENOENT);
        assert_int_equal(put(k, gone("2001:db8::/64")), -ENOENT);
        assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, &net, 1), -ENOENT);
        assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V6, NULL, 0), -ENOENT);
        assert_int_equal(enf_kernel_relays_replace(k->kernel, ENF_FAMILY_V4, &net, 1), -ENOENT);
        assert_int_equal(enf_kernel_governed_replace(k->kernel, NULL, 0), -ENOENT);
        assert_int_equal(enf_kernel_meters_flush(k->kernel), -ENOENT);
        assert_int_equal(enf_kernel_meters_reset(k->kernel, &subscriber, 1), -ENOENT);
        for (unsigned set = 0; set < ENF_KERNEL_SET_COUNT; set++)
            assert_int_equal(enf_kernel_read_set(k->kernel, (enum enf_kernel_set)set, bed_on_element, NULL),
                             -ENOENT);
        uint64_t left;
        assert_int_equal(enf_kernel_singles_left(k->kernel, ENF_KERNEL_TIER_SMTP, &subscriber, 1, &left),
                         -ENOENT);
        assert_int_equal(enf_kernel_read_counters(k->kernel, on_counter, &counters), -ENOENT);
        assert_int_equal(enf_kernel_rule_count(k->kernel, &rules), -ENOENT);
        assert_int_equal(enf_kernel_queue_install(k->kernel, 0, 1, false, &kind), -ENOENT);
        assert_int_equal(enf_kernel_queue_kind(k->kernel, &kind), -ENOENT);
        assert_int_equal(counters + (int)rules, 0);
        bed_load_text(k->text);
        assert_int_equal(put(k, single("100.64.0.7", HOUR)), 0);
        assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 1);
        assert_int_equal(enf_kernel_rule_count(k->kernel, &rules), 0);
        assert_true(rules > 50);
        assert_int_equal(enf_kernel_read_counters(k->kernel, on_counter, &counters), 0);
        assert_true(counters > 10);
        counters = 0;
        rules = 0;
    }
    assert_int_equal(bed_nft("delete table ip enforcer; delete table inet other"), 0);
}

static void test_set_missing(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_single both[] = {single("2001:db8::/64", HOUR), single("100.64.0.7", HOUR)};

    assert_int_equal(bed_nft("flush table inet enforcer; delete set inet enforcer quarantine4"), 0);
    assert_int_equal(enf_kernel_singles(k->kernel, both, 2), -ENOENT);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6), 0); /* all or nothing */
    assert_int_equal(enf_kernel_read_set(k->kernel, ENF_KERNEL_QUARANTINE4, bed_on_element, NULL), -ENOENT);
    bed_load_text(k->text);
    assert_int_equal(enf_kernel_singles(k->kernel, both, 2), 0);
}

/* The sets of the tiers are apart: the same subscriber in several, each with its own end. */
static void test_tiers(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_single all[2 * ENF_KERNEL_TIER_COUNT];
    static const char *const who[] = {"100.64.0.7", "2001:db8::/64"};

    for (unsigned i = 0; i < 2 * ENF_KERNEL_TIER_COUNT; i++) {
        all[i] = single(who[i % 2], (i / 2 + 1) * HOUR);
        all[i].tier = i / 2;
    }
    assert_int_equal(enf_kernel_singles_fill(k->kernel, all, 2 * ENF_KERNEL_TIER_COUNT), 0);
    for (unsigned i = 0; i < 2 * ENF_KERNEL_TIER_COUNT; i++) {
        uint64_t left;
        assert_int_equal(enf_kernel_singles_left(k->kernel, all[i].tier, &all[i].subscriber, 1, &left), 0);
        about(left, all[i].timeout_ms);
    }
    all[0].timeout_ms = 5 * HOUR;
    for (unsigned i = 1; i < 2 * ENF_KERNEL_TIER_COUNT; i++)
        all[i].remove = i != 5;
    assert_int_equal(enf_kernel_singles(k->kernel, all, 2 * ENF_KERNEL_TIER_COUNT), 0);
    about(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7"), 5 * HOUR);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE6), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_THROTTLE4) + bed_count(k, ENF_KERNEL_THROTTLE6), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_FULL4), 0);
    about(bed_left(k, ENF_KERNEL_FULL6, "2001:db8::"), 3 * HOUR);
}

static void test_names(void **state)
{
    static const char *const names[] = {
        "quarantine4", "quarantine6", "quarantine_nets4", "quarantine_nets6", "relays4",
        "relays6",     "served4",     "served6",          "relay_used4",      "relay_used6",
        "throttle4",   "throttle6",   "throttle_nets4",   "throttle_nets6",   "full4",
        "full6",       "full_nets4",  "full_nets6"};
    static const char *const stems[ENF_KERNEL_TIER_COUNT] = {"quarantine", "throttle", "full"};

    (void)state;
    for (unsigned i = 0; i < ENF_KERNEL_SET_COUNT; i++)
        assert_string_equal(enf_kernel_set_name((enum enf_kernel_set)i), names[i]);
    assert_null(enf_kernel_set_name((enum enf_kernel_set)ENF_KERNEL_SET_COUNT));
    for (unsigned i = 0; i < ENF_KERNEL_TIER_COUNT; i++) {
        char singles[32], nets[32];
        snprintf(singles, sizeof singles, "%s6", stems[i]);
        snprintf(nets, sizeof nets, "%s_nets4", stems[i]);
        assert_string_equal(enf_kernel_set_name(enf_kernel_tier_singles(i, ENF_FAMILY_V6)), singles);
        assert_string_equal(enf_kernel_set_name(enf_kernel_tier_nets(i, ENF_FAMILY_V4)), nets);
    }
    assert_string_equal(enf_kernel_queue_name(ENF_KERNEL_QUEUE_NATIVE), "native");
    assert_string_equal(enf_kernel_queue_name(ENF_KERNEL_QUEUE_XT), "xt");
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, bed_open, bed_close, &kernel_bed)

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        TEST(test_add_replace_remove),
        TEST(test_nothing_left),
        TEST(test_both_families),
        TEST(test_twice_in_one_list),
        TEST(test_chunks),
        TEST(test_many_singles),
        TEST(test_nets),
        TEST(test_relays),
        TEST(test_overlap_changes_nothing),
        TEST(test_nets_nothing_left),
        TEST(test_many_nets),
        TEST(test_expiry_of_a_neighbour),
        TEST(test_stop_reading),
        TEST(test_read_while_changed),
        TEST(test_left),
        TEST(test_governed),
        TEST(test_meters),
        TEST(test_table_missing),
        TEST(test_set_missing),
        TEST(test_tiers),
        cmocka_unit_test(test_names),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
