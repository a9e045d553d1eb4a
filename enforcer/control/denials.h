/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps a caller that is refused in a loop from filling the event log: a small token bucket for each uid.
 * Pure; private to control/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ENF_DENIALS_UIDS  32   /* remembered; the one that was quiet longest gives way */
#define ENF_DENIALS_BURST 10   /* reported at once … */
#define ENF_DENIALS_MS    1000 /* … and then one in so long */

/* Zero value: empty. */
struct enf_denials {
    struct enf_denials_uid {
        uid_t uid;
        bool used;
        unsigned tokens;
        uint64_t filled_ms; /* tokens are right for this time */
        uint64_t last_ms;
        uint64_t suppressed;
    } uids[ENF_DENIALS_UIDS];
};

/* A caller was refused: true where that is to be reported, with *suppressed the number that was not since the
 * last report. now_ms is monotonic. */
bool enf_denials_report(struct enf_denials *denials, uid_t uid, uint64_t now_ms, uint64_t *suppressed);
