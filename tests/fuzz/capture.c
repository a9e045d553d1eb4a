/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a capture (pcap, pcapng) that enforcer-replay reads to its results: libpcap's reader, link
 * layers, packets, sessions, detector and accounts. */
#include "tools/enforcer-replay/replay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static const struct enf_detector_params detector = {.max_subscribers = 256, .seed = 1};
    static const struct enf_flows_params flows = {.max_flows = 64, .max_bytes = 1 << 20, .seed = 1};
    struct scope scope;
    struct replay replay = {.scope = &scope, .seed = 1, .ledger = {.max = 256, .trace_max = 4096}};
    char error[512] = "";

    if (size == 0)
        return 0;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    FILE *stream = fmemopen((void *)(uintptr_t)data, size, "r");
    expect(nowhere && stream && scope_load(NULL, &scope));
    /* replay_init would take tens of MB, 50 times a second. */
    expect(enf_detector_new(&detector, &replay.detector) == 0 && enf_flows_new(&flows, &replay.flows) == 0);
    bool whole = capture_read(&replay, stream, error, sizeof error);
    expect(whole || *error);
    expect(capture_finish(&replay) == 0);
    expect(replay.port25_syns <= replay.port25_packets && replay.port25_packets <= replay.packets);
    print_json(&replay, nowhere);
    replay_clear(&replay);
    scope_clear(&scope);
    return 0;
}
