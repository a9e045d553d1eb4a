/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness in a real kernel: which packets it sees, when, and that it rests otherwise. */
#include "kernel_bed.h"
#include "wire.h"

#include "enforcer/kernel/witness.h"

struct seen {
    size_t len;
    uint16_t ports[64];
};

static void on_packet(void *ctx, const uint8_t *ip, size_t len)
{
    struct seen *seen = ctx;

    assert_true(len >= 40 && len <= 128);
    size_t at = ip[0] >> 4 == 4 ? (ip[0] & 15u) * 4u : 40;
    assert_true(seen->len < sizeof seen->ports / sizeof *seen->ports);
    seen->ports[seen->len++] = (uint16_t)(ip[at + 2] << 8 | ip[at + 3]);
}

/* A connection of our own is an outgoing packet like a forwarded one. Nobody answers, or somebody refuses. */
static void connect_to(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr), 1);
    (void)connect(fd, (const struct sockaddr *)&addr, sizeof addr);
    close(fd);
}

static size_t read_all(struct enf_witness *witness, struct seen *seen)
{
    uint64_t unseen = 0;

    *seen = (struct seen){0};
    int count = enf_witness_read(witness, on_packet, seen, &unseen);
    assert_int_equal(unseen, 0);
    assert_int_equal(count, seen->len);
    return seen->len;
}

static void test_sees_port_25_only(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_witness *witness = NULL;
    struct ifreq up = {.ifr_flags = IFF_UP};
    struct seen seen;

    (void)k;
    wire_ioctl("lo", SIOCSIFFLAGS, &up);
    int err = enf_witness_open(&witness);
    if (err == -EPERM) {
        print_message("skipped: no right to make a packet socket\n");
        skip();
    }
    assert_int_equal(err, 0);
    connect_to(25);
    assert_int_equal(read_all(witness, &seen), 0);

    for (int round = 0; round < 2; round++) {
        assert_int_equal(enf_witness_watch(witness, true), 0);
        connect_to(25);
        connect_to(26);
        connect_to(587);
        assert_int_equal(enf_witness_watch(witness, false), 0);
        connect_to(25);
        assert_int_equal(read_all(witness, &seen), 1);
        assert_int_equal(seen.ports[0], 25);
        assert_int_equal(read_all(witness, &seen), 0);
    }
    enf_witness_close(&witness);
    assert_null(witness);
    enf_witness_close(&witness);
}

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_sees_port_25_only, state),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
