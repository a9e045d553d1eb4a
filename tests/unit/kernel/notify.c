/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notifications of a real kernel: what others did is heard, what we did is not. */
#include "kernel_bed.h"

#include "enforcer/kernel/notify.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that the kernel has to tell by now: it tells within the change. */
static struct enf_notify_news *hear(struct enf_notify *notify)
{
    struct enf_notify_news *news = calloc(1, sizeof *news);
    int more = 1;

    assert_non_null(news);
    while (more == 1)
        more = enf_notify_read(notify, news);
    assert_int_equal(more, 0);
    return news;
}

/* By another process, as somebody at a shell. */
static void elsewhere(const char *commands)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execlp("nft", "nft", commands, NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static struct enf_notify *listen_to(struct kernel_bed *k)
{
    struct enf_notify *notify = NULL;

    assert_int_equal(enf_notify_open(&notify), 0);
    assert_int_equal(enf_notify_own_port(notify, enf_kernel_port(k->kernel)), 0);
    assert_int_equal(enf_notify_own_thread(notify, gettid()), 0);
    return notify;
}

static void test_others(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_notify *notify = listen_to(k);
    struct enf_addr addr = bed_prefix("100.64.0.9").addr;

    elsewhere("add element inet enforcer quarantine4 { 100.64.0.9 timeout 1h }");
    struct enf_notify_news *news = hear(notify);
    assert_int_equal(news->transactions, 1);
    assert_true(news->elements && !news->rules && !news->table_deleted && !news->overrun);
    assert_false(news->static_elements);
    assert_int_equal(news->elements_added, 1);
    assert_true(enf_addr_equal(&news->added[0].addr, &addr));
    assert_string_equal(news->name, "nft");
    assert_true(news->pid > 0);
    free(news);

    elsewhere("delete element inet enforcer quarantine4 { 100.64.0.9 }");
    news = hear(notify);
    assert_int_equal(news->elements_removed, 1);
    free(news);

    elsewhere("flush set inet enforcer smarthosts4_g1");
    news = hear(notify);
    assert_true(news->static_elements && news->elements && news->elements_removed == 0);
    free(news);

    elsewhere("add rule inet enforcer forward accept");
    news = hear(notify);
    assert_true(news->rules && !news->elements && !news->table_deleted);
    free(news);

    elsewhere("flush ruleset");
    news = hear(notify);
    assert_true(news->table_deleted);
    free(news);
    enf_notify_close(&notify);
    assert_null(notify);
}

static void test_not_our_table(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_notify *notify = listen_to(k);

    elsewhere("add table inet another; add chain inet another c; add rule inet another c accept; add table "
              "ip enforcer");
    elsewhere("delete table inet another; delete table ip enforcer");
    struct enf_notify_news *news = hear(notify);
    assert_int_equal(news->transactions, 0);
    assert_false(news->overrun);
    free(news);
    enf_notify_close(&notify);
}

static void test_ourselves(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_notify *notify = listen_to(k);
    struct enf_kernel_single single = {.subscriber = bed_prefix("100.64.0.9"), .timeout_ms = 60000};

    assert_int_equal(enf_kernel_singles(k->kernel, &single, 1), 0);
    bed_load_text(k->text); /* by sockets of libnftables */
    struct enf_notify_news *news = hear(notify);
    assert_int_equal(news->transactions, 0);
    free(news);

    /* A socket of ours that nobody told of is heard, and then told of. */
    struct enf_kernel *other = NULL;
    struct enf_notify *stranger = NULL;
    assert_int_equal(enf_kernel_open(&other), 0);
    assert_int_equal(enf_notify_open(&stranger), 0);
    single.remove = true;
    assert_int_equal(enf_kernel_singles(other, &single, 1), 0);
    news = hear(stranger);
    assert_int_equal(news->transactions, 1);
    free(news);
    assert_int_equal(enf_notify_own_port(stranger, enf_kernel_port(other)), 0);
    single.remove = false;
    assert_int_equal(enf_kernel_singles(other, &single, 1), 0);
    news = hear(stranger);
    assert_int_equal(news->transactions, 0);
    free(news);
    enf_kernel_close(&other);
    enf_notify_close(&stranger);
    enf_notify_close(&notify);
}

/* The thread behind a known port is learnt, as in a pid namespace where the kernel counts otherwise. */
static void test_thread_is_learnt(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_notify *notify = NULL;
    struct enf_kernel_single single = {.subscriber = bed_prefix("100.64.0.9"), .timeout_ms = 60000};

    assert_int_equal(enf_notify_open(&notify), 0);
    assert_int_equal(enf_notify_own_port(notify, enf_kernel_port(k->kernel)), 0);
    assert_int_equal(enf_kernel_singles(k->kernel, &single, 1), 0);
    bed_load_text(k->text);
    struct enf_notify_news *news = hear(notify);
    assert_int_equal(news->transactions, 0);
    free(news);
    enf_notify_close(&notify);
}

/* More strange elements than are kept by name are counted all the same. */
static void test_many_elements(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_notify *notify = NULL;
    static struct enf_kernel_single singles[ENF_NOTIFY_ADDED_MAX + 500];
    size_t len = sizeof singles / sizeof *singles;

    assert_int_equal(enf_notify_open(&notify), 0);
    for (size_t i = 0; i < len; i++) {
        char text[32];
        snprintf(text, sizeof text, "198.18.%zu.%zu", i >> 8, i & 255);
        singles[i] = (struct enf_kernel_single){.subscriber = bed_prefix(text), .timeout_ms = 60000};
    }
    assert_int_equal(enf_kernel_singles(k->kernel, singles, len), 0);
    struct enf_notify_news *news = hear(notify);
    assert_true(news->elements_added >= len); /* NEW, DEL, NEW */
    assert_true(enf_addr_equal(&news->added[ENF_NOTIFY_ADDED_MAX - 1].addr,
                               &singles[ENF_NOTIFY_ADDED_MAX - 1].subscriber.addr));
    free(news);
    enf_notify_close(&notify);
}

static void test_ports_are_capped(void **state)
{
    struct enf_notify *notify = NULL;

    (void)state;
    assert_int_equal(enf_notify_new_deaf(&notify), 0);
    for (uint32_t i = 0; i < ENF_NOTIFY_PORTS_MAX; i++)
        assert_int_equal(enf_notify_own_port(notify, i + 1), 0);
    assert_int_equal(enf_notify_own_port(notify, 1), 0);
    assert_int_equal(enf_notify_own_port(notify, 1000), -ENOSPC);
    enf_notify_close(&notify);
}

#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, bed_open, bed_close, state)

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        TEST(test_others),           TEST(test_not_our_table), TEST(test_ourselves),
        TEST(test_thread_is_learnt), TEST(test_many_elements), cmocka_unit_test(test_ports_are_capped),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
