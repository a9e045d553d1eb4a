/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows by hash, in lists by what they wait for, and how many a subscriber has. */
#include "enforcer/inspect/flow_table.h"

#include "enforcer/core/pages.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL /* keys of known length: a call costs more than the hash */
#include <xxhash.h>

#define FETCH_AHEAD 4

uint32_t enf_flow_hash(const struct enf_flows *flows, const struct flow_key *key)
{
    uint8_t bytes[34];
    memcpy(bytes, &key->client_port, sizeof(key->client_port));
    if (key->client.family == ENF_FAMILY_V4) {
        memcpy(bytes + 2, key->client.bytes, 4);
        memcpy(bytes + 6, key->server.bytes, 4);
        return (uint32_t)XXH3_64bits_withSeed(bytes, 10, flows->params.seed);
    }
    memcpy(bytes + 2, key->client.bytes, 16);
    memcpy(bytes + 18, key->server.bytes, 16);
    return (uint32_t)XXH3_64bits_withSeed(bytes, 34, flows->params.seed);
}

static bool matches(const struct flow *flow, const struct flow_key *key)
{
    return flow->client_port == key->client_port &&
           !(flow->flags & FLOW_V6) == (key->client.family == ENF_FAMILY_V4) &&
           memcmp(flow->client, key->client.bytes, sizeof(flow->client)) == 0 &&
           memcmp(flow->server, key->server.bytes, sizeof(flow->server)) == 0;
}

uint32_t enf_flow_find(const struct enf_flows *flows, const struct flow_key *key, uint32_t hash)
{
    for (uint32_t at = hash & flows->slots_mask; flows->slots[at].id != 0; at = (at + 1) & flows->slots_mask)
        if (flows->slots[at].hash == hash && matches(&flows->flows[flows->slots[at].id - 1], key))
            return flows->slots[at].id - 1;
    return FLOW_NONE;
}

static void put_slot(struct enf_flows *flows, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & flows->slots_mask;
    while (flows->slots[at].id != 0)
        at = (at + 1) & flows->slots_mask;
    flows->slots[at] = (struct flow_slot){hash, id + 1};
}

/* Closes the gap: what stands behind it moves up unless it stands at or before its place. */
static void clear_slot(struct enf_flows *flows, uint32_t hash, uint32_t id)
{
    uint32_t mask = flows->slots_mask;
    uint32_t gap = hash & mask;
    while (flows->slots[gap].id != id + 1)
        gap = (gap + 1) & mask;
    for (uint32_t at = (gap + 1) & mask; flows->slots[at].id != 0; at = (at + 1) & mask) {
        uint32_t home = flows->slots[at].hash & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        flows->slots[gap] = flows->slots[at];
        gap = at;
    }
    flows->slots[gap].id = 0;
}

/* --- lists --- */

static void unlink_flow(struct enf_flows *flows, struct flow *flow)
{
    struct flow_ends *list = &flows->lists[flow_list_of(flow)];
    if (flow->prev == FLOW_NONE)
        list->first = flow->next;
    else
        flows->flows[flow->prev].next = flow->next;
    if (flow->next == FLOW_NONE)
        list->last = flow->prev;
    else
        flows->flows[flow->next].prev = flow->prev;
    list->len--;
}

static void append_flow(struct enf_flows *flows, struct flow *flow, enum flow_list to)
{
    struct flow_ends *list = &flows->lists[to];
    uint32_t id = (uint32_t)(flow - flows->flows);
    flow->flags = (uint8_t)((flow->flags & ~FLOW_LIST_MASK) | to);
    flow->prev = list->last;
    flow->next = FLOW_NONE;
    if (list->last == FLOW_NONE)
        list->first = id;
    else
        flows->flows[list->last].next = id;
    list->last = id;
    list->len++;
}

/* --- subscribers --- */

struct enf_addr enf_flow_client(const struct flow *flow)
{
    struct enf_addr client = {.family = flow->flags & FLOW_V6 ? ENF_FAMILY_V6 : ENF_FAMILY_V4};
    memcpy(client.bytes, flow->client, sizeof(client.bytes));
    return client;
}

struct enf_prefix enf_flow_subscriber(const struct flow *flow)
{
    struct enf_addr client = enf_flow_client(flow);
    return enf_prefix_make(&client, flow->prefix_len);
}

/* The first len bits of an address, and of which family. */
static void sketch_rows(const struct enf_flows *flows, const uint8_t address[16], unsigned len, bool v6,
                        uint32_t at[2])
{
    uint64_t halves[2];
    memcpy(halves, address, sizeof(halves));
    for (unsigned i = 0; i<2; i++, len = len> 64 ? len - 64 : 0)
        halves[i] &= len >= 64 ? UINT64_MAX : htobe64(~(UINT64_MAX >> len));
    uint64_t hash = XXH3_64bits_withSeed(halves, sizeof(halves), flows->params.seed + v6);
    at[0] = (uint32_t)hash & ((1U << SKETCH_BITS) - 1);
    at[1] = (uint32_t)(hash >> 32) & ((1U << SKETCH_BITS) - 1);
}

bool enf_flow_subscriber_has_room(const struct enf_flows *flows, const struct enf_prefix *subscriber)
{
    uint32_t at[2];
    sketch_rows(flows, subscriber->addr.bytes, subscriber->len, subscriber->addr.family == ENF_FAMILY_V6, at);
    uint32_t max = flows->params.max_of_subscriber;
    return flows->sketch[0][at[0]] < max || flows->sketch[1][at[1]] < max;
}

static void prefetch_rows(const struct enf_flows *flows, const uint32_t at[2])
{
    __builtin_prefetch(&flows->sketch[0][at[0]], 1);
    __builtin_prefetch(&flows->sketch[1][at[1]], 1);
}

void enf_flow_prefetch_count(const struct enf_flows *flows, const struct enf_prefix *subscriber)
{
    uint32_t at[2];
    sketch_rows(flows, subscriber->addr.bytes, subscriber->len, subscriber->addr.family == ENF_FAMILY_V6, at);
    prefetch_rows(flows, at);
}

static void count(struct enf_flows *flows, struct flow *flow, bool in)
{
    uint32_t at[2];
    if (in == !!(flow->flags & FLOW_COUNTED))
        return;
    sketch_rows(flows, flow->client, flow->prefix_len, flow->flags & FLOW_V6, at);
    flow->flags ^= FLOW_COUNTED;
    flows->sketch[0][at[0]] += in ? 1U : UINT32_MAX;
    flows->sketch[1][at[1]] += in ? 1U : UINT32_MAX;
}

/* --- flows --- */

static void free_reading(struct enf_flows *flows, struct flow *flow)
{
    struct reading *reading = flow->reading;
    uint32_t isn = reading->session.client_isn;
    uint32_t ifindex = reading->ifindex;
    enf_session_clear(&reading->session);
    explicit_bzero(reading, sizeof(*reading)); /* a line of the dialogue may be in it */
    free(reading);
    flows->readings_bytes -= sizeof(struct reading);
    flow->isn = isn;
    flow->ifindex = ifindex;
}

static bool is_read(const struct flow *flow)
{
    return flow_list_of(flow) >= FLOW_HALF;
}

void enf_flow_remove(struct enf_flows *flows, struct flow *flow)
{
    uint32_t id = (uint32_t)(flow - flows->flows);
    if (is_read(flow))
        free_reading(flows, flow);
    count(flows, flow, false);
    unlink_flow(flows, flow);
    clear_slot(flows, flow->hash, id);
    flow->next = flows->free;
    flow->prefix_len = 0;
    flow->flags = 0;
    flows->free = id;
    flows->len--;
}

/* Those who come next to go are fetched: their places in the table are far from each other. */
static void prefetch_oldest(const struct enf_flows *flows, uint32_t id)
{
    for (int ahead = 0; ahead < FETCH_AHEAD && id != FLOW_NONE; ahead++)
        id = flows->flows[id].next;
    if (id == FLOW_NONE)
        return;
    const struct flow *next = &flows->flows[id];
    __builtin_prefetch(&flows->slots[next->hash & flows->slots_mask], 1);
    if (next->flags & FLOW_COUNTED) {
        uint32_t at[2];
        sketch_rows(flows, next->client, next->prefix_len, next->flags & FLOW_V6, at);
        prefetch_rows(flows, at);
    }
    if (next->next != FLOW_NONE)
        __builtin_prefetch(&flows->flows[next->next], 1);
}

static bool make_room(struct enf_flows *flows)
{
    if (flows->len < flows->params.max_flows)
        return true;
    enum flow_list from = flows->lists[FLOW_TOLD].len ? FLOW_TOLD : FLOW_WAITING;
    if (flows->lists[from].len == 0)
        return false;
    if (from == FLOW_TOLD)
        flows->stats.evicted_told++;
    else
        flows->stats.evicted_waiting++;
    enf_flow_remove(flows, &flows->flows[flows->lists[from].first]);
    prefetch_oldest(flows, flows->lists[from].first);
    return true;
}

struct flow *enf_flow_add(struct enf_flows *flows, const struct flow_key *key, uint32_t hash,
                          enum flow_list list, uint64_t now_ms, uint8_t prefix_len)
{
    if (!make_room(flows))
        return NULL;
    uint32_t id = flows->free;
    if (id != FLOW_NONE)
        flows->free = flows->flows[id].next;
    else
        id = flows->used++;
    struct flow *flow = &flows->flows[id];
    memcpy(flow->client, key->client.bytes, sizeof(flow->client));
    memcpy(flow->server, key->server.bytes, sizeof(flow->server));
    flow->time_ms = now_ms;
    flow->isn = 0;
    flow->ifindex = 0;
    flow->hash = hash;
    flow->client_port = key->client_port;
    flow->prefix_len = prefix_len;
    flow->flags = key->client.family == ENF_FAMILY_V6 ? FLOW_V6 : 0;
    append_flow(flows, flow, list);
    count(flows, flow, list != FLOW_TOLD);
    put_slot(flows, hash, id);
    flows->len++;
    return flow;
}

void enf_flow_move(struct enf_flows *flows, struct flow *flow, enum flow_list list, uint64_t now_ms)
{
    flow->time_ms = now_ms;
    if (flow_list_of(flow) != list || flow->next != FLOW_NONE) {
        unlink_flow(flows, flow);
        append_flow(flows, flow, list);
    }
    count(flows, flow, list != FLOW_TOLD);
}

/* Readers in FLOW_HALF may be of forged packets: they go first. */
static bool make_reading_room(struct enf_flows *flows, uint64_t now_ms)
{
    size_t max = flows->params.max_bytes / 2;
    if (flows->readings_bytes + sizeof(struct reading) <= max)
        return true;
    struct flow *oldest = NULL;
    if (flows->lists[FLOW_HALF].len) {
        oldest = &flows->flows[flows->lists[FLOW_HALF].first];
    } else if (flows->lists[FLOW_READ].len) {
        oldest = &flows->flows[flows->lists[FLOW_READ].first];
        if (oldest->time_ms + ENF_FLOWS_YIELD_MS > now_ms)
            oldest = NULL;
    }
    if (!oldest)
        return false;
    flows->stats.evicted_read++;
    enf_flow_unread(flows, oldest, now_ms);
    return flows->readings_bytes + sizeof(struct reading) <= max;
}

bool enf_flow_read(struct enf_flows *flows, struct flow *flow, enum flow_list list, uint64_t now_ms)
{
    struct enf_session_params params = {
        .seed = flows->params.seed,
        .client_budget = ENF_SESSION_CLIENT_BUDGET,
        .server_budget = ENF_SESSION_SERVER_BUDGET,
        .memory = &flows->waiting,
    };
    struct reading *reading = make_reading_room(flows, now_ms) ? calloc(1, sizeof(*reading)) : NULL;
    if (!reading) {
        flows->stats.unread++;
        return false;
    }
    /* Begins with the SYN, which is gone. */
    struct enf_packet syn = {
        .has_ports = true, .has_flags = true, .tcp_flags = ENF_TCP_SYN, .sequence = flow->isn};
    enf_session_init(&reading->session, &params);
    (void)enf_session_feed(&reading->session, &syn, ENF_DIRECTION_CLIENT, flow->time_ms);
    reading->ifindex = flow->ifindex;
    flow->reading = reading;
    flows->readings_bytes += sizeof(*reading);
    flows->stats.sessions++;
    enf_flow_move(flows, flow, list, now_ms);
    return true;
}

void enf_flow_unread(struct enf_flows *flows, struct flow *flow, uint64_t now_ms)
{
    free_reading(flows, flow);
    enf_flow_move(flows, flow, FLOW_TOLD, now_ms);
}

/* --- the whole table --- */

int enf_flows_new(const struct enf_flows_params *params, struct enf_flows **out)
{
    struct enf_flows_params taken = *params;
    if (taken.max_flows == 0)
        taken.max_flows = ENF_FLOWS_DEFAULT;
    if (taken.max_bytes == 0)
        taken.max_bytes = ENF_FLOWS_BYTES_DEFAULT;
    if (taken.max_of_subscriber == 0)
        taken.max_of_subscriber = ENF_FLOWS_SUBSCRIBER_MAX;
    if (taken.max_flows > ENF_FLOWS_MAX)
        return -EINVAL;
    size_t slots = 2;
    while (slots < taken.max_flows * 2)
        slots *= 2;
    struct enf_flows *flows = calloc(1, sizeof(*flows));
    if (!flows)
        return -ENOMEM;
    flows->params = taken;
    flows->slots_mask = (uint32_t)(slots - 1);
    flows->free = FLOW_NONE;
    flows->waiting.max = taken.max_bytes / 2;
    for (int i = 0; i < FLOW_LIST_COUNT; i++)
        flows->lists[i] = (struct flow_ends){FLOW_NONE, FLOW_NONE, 0};
    flows->slots = calloc(slots, sizeof(*flows->slots));
    /* Pages are the kernel's until they are used. */
    flows->flows = aligned_alloc(64, taken.max_flows * sizeof(*flows->flows));
    if (!flows->slots || !flows->flows) {
        enf_flows_free(&flows);
        return -ENOMEM;
    }
    enf_pages_wish_huge(flows->slots, slots * sizeof(*flows->slots));
    enf_pages_wish_huge(flows->flows, taken.max_flows * sizeof(*flows->flows));
    *out = flows;
    return 0;
}

void enf_flow_empty(struct enf_flows *flows)
{
    for (int list = 0; list < FLOW_LIST_COUNT; list++)
        while (flows->lists[list].len)
            enf_flow_remove(flows, &flows->flows[flows->lists[list].first]);
}

void enf_flows_free(struct enf_flows **flows)
{
    if (!*flows)
        return;
    if ((*flows)->flows)
        enf_flow_empty(*flows);
    free((*flows)->flows);
    free((*flows)->slots);
    free(*flows);
    *flows = NULL;
}

size_t enf_flows_forget(struct enf_flows *flows, const struct enf_prefix *prefix)
{
    size_t before = flows->len;
    for (int list = 0; list < FLOW_LIST_COUNT; list++)
        for (uint32_t id = flows->lists[list].first; id != FLOW_NONE;) {
            struct flow *flow = &flows->flows[id];
            struct enf_addr client = enf_flow_client(flow);
            id = flow->next;
            if (enf_prefix_contains(prefix, &client))
                enf_flow_remove(flows, flow);
        }
    return before - flows->len;
}

void enf_flows_stats(const struct enf_flows *flows, struct enf_flows_stats *out)
{
    *out = flows->stats;
    out->flows = flows->len;
    out->waiting = flows->lists[FLOW_WAITING].len;
    out->read = flows->lists[FLOW_HALF].len + flows->lists[FLOW_READ].len;
    out->bytes = flows->readings_bytes + flows->waiting.used;
    out->bytes_fixed = sizeof(*flows) + (flows->slots_mask + 1ULL) * sizeof(*flows->slots) +
                       flows->params.max_flows * sizeof(*flows->flows);
}
