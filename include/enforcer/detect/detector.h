/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts connections by subscriber and says when a threshold is crossed, with the arithmetic. No I/O, no
 * clock, no globals: time comes with the observations. One detector belongs to one thread.
 *
 * Memory is bounded twice, by subscribers and by bytes. At either bound the least suspicious subscriber is
 * forgotten: first those with one connection, oldest first, then those with two or three, and so on in powers
 * of two; last those with a conviction. So a flood of sources that appear once cannot push out anybody who
 * came twice. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/detect/sequential.h"
#include "enforcer/detect/settings.h"
#include "enforcer/inspect/observation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A SYN that repeats addresses, ports and sequence number of one seen less than this ago is no new
 * connection. */
#define ENF_RETRANSMISSION_MS (240ULL * 1000)
/* Room for so many of them a subscriber: the largest limit on connections of its settings, as a power of two,
 * but not less than the first number and not more than the second. When it is almost full, those seen first
 * are forgotten early: their retransmission then counts as a connection. */
#define ENF_RETRANSMISSIONS_MIN 64
#define ENF_RETRANSMISSIONS_MAX 4096
/* Observations older than the newest of their subscriber count as made at its time: networks and captures
 * shuffle. A step further back than this is a clock that was set or another capture: the subscriber's windows
 * start anew. */
#define ENF_DISORDER_MS (60ULL * 1000)
/* Of a conviction by rate at most so many connections, the last ones, are kept as evidence. */
#define ENF_RECENT_MAX 64
/* A conviction is remembered for `show` this long after its subscriber fell silent. */
#define ENF_CONVICTION_MEMORY_MS (30ULL * 86400 * 1000)
#define ENF_TOP_MAX              1000

struct enf_detector; /* private to detect/ */

struct enf_detector_params {
    size_t max_subscribers; /* 1 to ENF_DETECTOR_SUBSCRIBERS_MAX */
    size_t max_bytes;       /* beyond the subscribers' slots; 0: 32 for each of them, 16 MiB, and what
                               slots that were never needed would take */
    uint64_t seed;          /* random: strangers choose the keys of the hash tables */
};
#define ENF_DETECTOR_SUBSCRIBERS_MAX 100000000

enum enf_cause {
    ENF_CAUSE_NONE,
    ENF_CAUSE_TRAP,
    ENF_CAUSE_CONNECTION_RATE,
    ENF_CAUSE_DISTINCT_DESTINATIONS,
    ENF_CAUSE_SEQUENTIAL,
    ENF_CAUSE_UNREQUESTED_REPLIES,
};
#define ENF_CAUSE_COUNT 6

/* Mails that wait for a second try, of one subscriber. Of more the first are forgotten. */
#define ENF_DEFERRED_MAX 32
/* Networks that one subscriber has been in touch with within a day; one more counts as known. */
#define ENF_KNOWN_NETWORKS_MAX 2048
/* A mail that got a 4yz: the next try comes so long after it, at the least and at the most. */
#define ENF_RETRY_MIN_MS (60ULL * 1000)
#define ENF_RETRY_MAX_MS (4ULL * 3600 * 1000)
/* Who is silent for so long may have been switched off: the time for second tries starts anew. */
#define ENF_RETRY_SILENCE_MS (2ULL * 3600 * 1000)

/* A conviction (verdict ZOMBIE) or a suspicion (SUSPECT), which changes nothing and is not kept: either
 * replies that nobody asked for, or a sequential test that crossed its threshold by what came from outside
 * alone. The detector owns the evidence: it stays as it is until the next call with this detector. */
struct enf_signal {
    enum enf_verdict verdict;
    struct enf_prefix subscriber;
    uint64_t time_ms; /* of the observation that crossed the threshold */
    enum enf_cause cause;
    uint32_t ifindex; /* of that observation */
    bool forgeable; /* without evidence that a neighbour (of replies: anybody) could have forged the threshold
                       was not crossed */
    char setting[ENF_SETTING_LEN];
    const struct enf_evidence *evidence; /* in order of time */
    size_t evidence_len;
    uint64_t evidence_total; /* observations that counted; of more than evidence_len the first are left out */
};

struct enf_detector_view {
    struct enf_prefix subscriber;
    uint64_t first_seen_ms;
    uint64_t last_seen_ms;
    uint64_t connections; /* since first_seen_ms, retransmissions not counted */
    uint64_t blocked;     /* of those */
    uint64_t retransmissions;
    struct {
        uint32_t connections; /* in the window that ends now, since the last conviction; up to limit + 1 */
        struct enf_window limit;
    } windows[ENF_WINDOWS_MAX];
    size_t windows_len;
    struct {
        uint32_t count; /* likewise */
        uint32_t limit; /* 0: none */
        uint64_t per_ms;
    } distinct_destinations;
    struct {
        double score;          /* of the running test */
        double threshold;      /* that convicts in it; 0: the settings have no sequential test */
        uint32_t observations; /* of the running test */
        uint32_t networks;     /* known, up to ENF_SEQUENTIAL_NETWORKS */
    } sequential;
    uint64_t convictions;
    struct enf_signal last; /* the last conviction; cause is ENF_CAUSE_NONE where there was none */
};

enum enf_top {
    ENF_TOP_CONNECTIONS,
    ENF_TOP_DESTINATIONS,
    ENF_TOP_BLOCKED,
};
#define ENF_TOP_COUNT 3

struct enf_detector_top {
    struct enf_prefix subscriber;
    bool convicted;
    uint32_t destinations; /* in its last window; up to the limit + 1 */
    uint64_t connections;  /* since first_seen_ms */
    uint64_t blocked;
    uint64_t first_seen_ms;
    uint64_t last_seen_ms;
};

struct enf_detector_stats {
    uint64_t observations;
    uint64_t retransmissions;
    uint64_t convictions;
    uint64_t suspicions;
    size_t subscribers;
    size_t max_subscribers;
    uint64_t evicted;        /* to make room */
    uint64_t evicted_active; /* of those: had come more than once */
    uint64_t expired;        /* forgotten after silence */
    uint64_t clock_steps;    /* observations more than ENF_DISORDER_MS behind */
    uint64_t starved;        /* observations that could not be remembered whole: no memory within max_bytes */
    size_t bytes;            /* all memory in use */
};

/* The caller owns *out. -EINVAL for params out of range, -ENOMEM; then *out is as it was. */
int enf_detector_new(const struct enf_detector_params *params, struct enf_detector **out);
/* Accepts NULL content; clears the caller's pointer. */
void enf_detector_free(struct enf_detector **det);

/* Accounts one observation of obs->subscriber under settings (which may change from call to call). Returns 1
 * with *out filled when it crossed a threshold (look at out->verdict: a suspect is no zombie), 0 when not,
 * -EINVAL for an observation without subscriber, -ENOMEM. After a conviction the subscriber's windows start
 * empty: the next one needs the whole threshold again. */
int enf_detector_feed(struct enf_detector *det, const struct enf_observation *obs,
                      const struct enf_detector_settings *settings, struct enf_signal *out);

/* Optional, before feeding what was received together: has the memory of all these subscribers on its way
 * while the first is fed. Changes nothing but the speed. Best with 16 to ENF_PREFETCH_MAX of them; what is
 * beyond is ignored. */
#define ENF_PREFETCH_MAX 64
void enf_detector_prefetch(struct enf_detector *det, const struct enf_prefix *const *subscribers, size_t len);

/* Forgets every subscriber that lies in prefix, with counters and evidence. Returns how many. Takes a walk
 * over all subscribers only where prefix can hold several. */
size_t enf_detector_reset(struct enf_detector *det, const struct enf_prefix *prefix);
/* The same in pieces: max_work places a call from *cursor on, 0 at first; true while there are more. */
bool enf_detector_reset_some(struct enf_detector *det, const struct enf_prefix *prefix, size_t *cursor,
                             size_t max_work);

/* What is known of one subscriber at now_ms. 0 with *out filled, or -ENOENT. out->last.evidence is the
 * detector's, as in a signal. */
int enf_detector_show(struct enf_detector *det, const struct enf_prefix *subscriber,
                      const struct enf_detector_settings *settings, uint64_t now_ms,
                      struct enf_detector_view *out);

/* The first `limit` (at most ENF_TOP_MAX) subscribers in descending order; returns how many were written to
 * out. Walks over all subscribers. */
size_t enf_detector_top(const struct enf_detector *det, enum enf_top by, size_t limit,
                        struct enf_detector_top *out);

/* The same in pieces, and of several detectors together: the caller zeroes the cursor for each detector and
 * calls until false, with anything but enf_detector_reset in between; then enf_ranking_sort puts the rows in
 * order. Looks at max_work places a call. */
struct enf_ranking {
    enum enf_top by;
    size_t limit;
    size_t len;
    struct enf_detector_top *rows; /* of the caller, limit of them */
};
bool enf_detector_rank(const struct enf_detector *det, size_t *cursor, size_t max_work,
                       struct enf_ranking *ranking);
void enf_ranking_sort(struct enf_ranking *ranking);
/* Calls fn for the subscribers in max_work places from *cursor on; 0 at first. False when all were seen or fn
 * answered other than 0. Those that come or go between two calls may be missed. .destinations is 0: to count
 * them takes longer than all the rest. */
bool enf_detector_walk(const struct enf_detector *det, size_t *cursor, size_t max_work,
                       int (*fn)(void *ctx, const struct enf_detector_top *subscriber), void *ctx);

void enf_detector_stats(const struct enf_detector *det, struct enf_detector_stats *out);

/* Calls fn for every subscriber, in no order, until it answers other than 0; returns that answer, else 0. fn
 * must not call the detector. */
int enf_detector_each(const struct enf_detector *det,
                      int (*fn)(void *ctx, const struct enf_detector_top *subscriber), void *ctx);

/* Frees what subscribers that fell silent for longer than their longest window hold. Looks at max_work of
 * them and goes on there the next time, so that it can be called often and cheaply. Returns how many were
 * forgotten. */
size_t enf_detector_forget_idle(struct enf_detector *det, uint64_t now_ms, size_t max_work);

/* "trap", "connection-rate", "distinct-destinations", "sequential",
 * "unrequested-replies", "none"; NULL for a value out of range. */
const char *enf_cause_name(enum enf_cause cause);
