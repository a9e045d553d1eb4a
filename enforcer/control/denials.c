/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Token buckets by uid in a table of fixed size. */
#include "enforcer/control/denials.h"

static struct enf_denials_uid *find(struct enf_denials *denials, uid_t uid, uint64_t now_ms)
{
    struct enf_denials_uid *oldest = &denials->uids[0];

    for (unsigned i = 0; i < ENF_DENIALS_UIDS; i++) {
        struct enf_denials_uid *entry = &denials->uids[i];

        if (entry->used && entry->uid == uid)
            return entry;
        if (oldest->used && (!entry->used || entry->last_ms < oldest->last_ms))
            oldest = entry;
    }
    *oldest = (struct enf_denials_uid){
        .uid = uid, .used = true, .tokens = ENF_DENIALS_BURST, .filled_ms = now_ms, .last_ms = now_ms};
    return oldest;
}

bool enf_denials_report(struct enf_denials *denials, uid_t uid, uint64_t now_ms, uint64_t *suppressed)
{
    struct enf_denials_uid *entry = find(denials, uid, now_ms);
    uint64_t earned = (now_ms - entry->filled_ms) / ENF_DENIALS_MS;

    entry->last_ms = now_ms;
    entry->filled_ms += earned * ENF_DENIALS_MS;
    if (earned >= ENF_DENIALS_BURST - entry->tokens)
        entry->tokens = ENF_DENIALS_BURST;
    else
        entry->tokens += (unsigned)earned;
    if (entry->tokens == 0) {
        entry->suppressed++;
        return false;
    }
    entry->tokens--;
    *suppressed = entry->suppressed;
    entry->suppressed = 0;
    return true;
}
