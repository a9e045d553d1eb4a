/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real captures under $ENFORCER_DATA/pcap: read as they are, cut at every byte, out of order, twice; the
 * facts and the observations must be the same. `captures --facts FILE...` prints them, for tests/golden/smtp.
 */
#include "enforcer/inspect/link.h"
#include "tests/unit/inspect/flows_bed.h"

#include <dirent.h>
#include <pcap/pcap.h>

#define FLOWS_MAX    128
#define SESSIONS_MAX 256

struct flow {
    struct enf_addr client, server;
    uint16_t client_port, server_port;
    struct talk talk;
};

struct capture {
    struct flow flows[FLOWS_MAX];
    size_t len;
    unsigned skipped; /* packets of port 25 that could not be read whole */
};

static bool same(const struct flow *f, const struct enf_packet *p, bool from_client)
{
    const struct enf_addr *source = from_client ? &f->client : &f->server;
    const struct enf_addr *destination = from_client ? &f->server : &f->client;
    return enf_addr_equal(source, &p->source) && enf_addr_equal(destination, &p->destination) &&
           p->source_port == (from_client ? f->client_port : f->server_port) &&
           p->destination_port == (from_client ? f->server_port : f->client_port);
}

static void take(struct capture *c, const struct enf_packet *p)
{
    for (size_t i = 0; i < c->len; i++) {
        if (same(&c->flows[i], p, true)) {
            talk_add(&c->flows[i].talk, p, ENF_DIRECTION_CLIENT);
            return;
        }
        if (same(&c->flows[i], p, false)) {
            talk_add(&c->flows[i].talk, p, ENF_DIRECTION_SERVER);
            return;
        }
    }
    if (c->len == FLOWS_MAX)
        fail_msg("more than %d flows", FLOWS_MAX);
    struct flow *f = &c->flows[c->len++];
    bool from_client = p->destination_port == 25;
    *f = (struct flow){.client = from_client ? p->source : p->destination,
                       .server = from_client ? p->destination : p->source,
                       .client_port = from_client ? p->source_port : p->destination_port,
                       .server_port = from_client ? p->destination_port : p->source_port};
    talk_add(&f->talk, p, from_client ? ENF_DIRECTION_CLIENT : ENF_DIRECTION_SERVER);
}

/* False where libpcap cannot read the file. */
static bool load(struct capture *c, const char *path)
{
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(path, error);
    *c = (struct capture){.len = 0};
    if (!pcap)
        return false;
    enum enf_link link = enf_link_from_dlt(pcap_datalink(pcap));
    struct pcap_pkthdr *header;
    const u_char *bytes;
    while (pcap_next_ex(pcap, &header, &bytes) == 1) {
        struct enf_packet packet;
        size_t offset = 0;
        if (enf_link_find_ip(link, bytes, header->caplen, &offset) != ENF_LINK_OK)
            continue;
        enum enf_packet_result result = enf_packet_parse(bytes + offset, header->caplen - offset, &packet);
        if (!enf_packet_is_smtp(&packet))
            continue;
        if (result == ENF_PACKET_OK)
            take(c, &packet);
        else
            c->skipped++;
    }
    pcap_close(pcap);
    return true;
}

static void unload(struct capture *c)
{
    for (size_t i = 0; i < c->len; i++)
        talk_free(&c->flows[i].talk);
    c->len = 0;
}

struct results {
    struct enf_smtp_facts facts[SESSIONS_MAX];
    size_t len;
};

static void keep(void *ctx, const struct enf_smtp_facts *facts)
{
    struct results *results = ctx;
    assert_true(results->len < SESSIONS_MAX);
    results->facts[results->len++] = *facts;
}

static void read_talk(const struct talk *talk, struct results *out)
{
    struct talk_reader reader;
    talk_reader_init(&reader);
    reader.done = keep;
    reader.ctx = out;
    out->len = 0;
    talk_read(&reader, talk);
    assert_int_equal(reader.memory.used, 0);
}

/* --- printing --- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int print_facts(int count, char **paths)
{
    static struct capture capture;
    static struct results results;
    qsort(paths, (size_t)count, sizeof(*paths), compare_names);
    for (int i = 0; i < count; i++) {
        const char *name = strrchr(paths[i], '/');
        name = name ? name + 1 : paths[i];
        if (!load(&capture, paths[i])) {
            printf("%s\tunreadable\n", name);
            continue;
        }
        for (size_t f = 0; f < capture.len; f++) {
            read_talk(&capture.flows[f].talk, &results);
            for (size_t s = 0; s < results.len; s++) {
                char text[ENF_SMTP_FACTS_TEXT];
                printf("%s\t%u\t%s\n", name, capture.flows[f].client_port,
                       enf_smtp_facts_text(&results.facts[s], text, sizeof(text)));
            }
        }
        unload(&capture);
    }
    return 0;
}

/* --- the same facts in every shape --- */

static void expect_same(const char *name, const char *shape, const struct results *expected,
                        const struct results *found)
{
    if (expected->len != found->len)
        fail_msg("%s, %s: %zu connections instead of %zu", name, shape, found->len, expected->len);
    for (size_t i = 0; i < found->len; i++) {
        char was[ENF_SMTP_FACTS_TEXT], is[ENF_SMTP_FACTS_TEXT];
        if (enf_smtp_facts_equal(&expected->facts[i], &found->facts[i]))
            continue;
        fail_msg("%s, %s, connection %zu:\n  whole %s\n  now   %s", name, shape, i,
                 enf_smtp_facts_text(&expected->facts[i], was, sizeof(was)),
                 enf_smtp_facts_text(&found->facts[i], is, sizeof(is)));
    }
}

/* Both directions from their start: only then the facts do not depend on which packet came first. */
static bool synchronised(const struct results *results)
{
    for (size_t i = 0; i < results->len; i++)
        if (results->facts[i].unsynchronised || results->facts[i].server_end == ENF_SMTP_END_MISSING)
            return false;
    return true;
}

/* Bulk is cut coarser: a megabyte byte by byte says nothing more. */
#define BYTEWISE_MAX 65536

static void check_shapes(const char *name, const struct talk *talk, unsigned seed)
{
    static struct results whole, found;
    uint64_t random = seed;
    read_talk(talk, &whole);

    for (int shape = 0; shape < TALK_SHAPES; shape++) {
        struct talk changed = {0};
        if (talk_shape_reorders(shape) && !synchronised(&whole))
            continue;
        talk_reshape(talk, &changed, shape, talk->bytes_len > BYTEWISE_MAX ? 97 : 1, &random);
        read_talk(&changed, &found);
        expect_same(name, talk_shape_names[shape], &whole, &found);
        talk_free(&changed);
    }
    flows_bed_check_shapes(name, talk, synchronised(&whole), talk->bytes_len > BYTEWISE_MAX ? 97 : 1, seed);
}

static void test_captures(void **state)
{
    (void)state;
    static struct capture capture;
    const char *data = getenv("ENFORCER_DATA");
    if (!data) {
        print_message("skipped: ENFORCER_DATA names no folder with captures\n");
        skip();
    }
    char folder[512], path[1024];
    (void)snprintf(folder, sizeof(folder), "%s/pcap", data);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    unsigned files = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (!strstr(entry->d_name, ".pcap"))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        assert_true(load(&capture, path));
        for (size_t f = 0; f < capture.len; f++)
            check_shapes(entry->d_name, &capture.flows[f].talk, (unsigned)(files * 31 + f));
        unload(&capture);
        files++;
    }
    closedir(dir);
    assert_true(files > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--facts") == 0)
        return print_facts(argc - 2, argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
