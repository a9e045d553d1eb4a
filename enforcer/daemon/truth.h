/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The truth loop: what the kernel has is compared with what it should have, when somebody else changed it and
 * on a timer; it is put right, and told. All on the control thread.
 *
 * truth.c hears and decides when; repair.c rebuilds the table; coverage.c looks at the dynamic sets,
 * compare.c at the singles in quarantine, nets.c at the prefixes; patrol.c does for large sets, in pieces,
 * what compare.c does at once. */
#pragma once

#include "enforcer/kernel/notify.h"
#include "enforcer/kernel/shape.h"
#include "enforcer/kernel/witness.h"
#include "enforcer/policy/fight.h"
#include "enforcer/policy/quarantine.h"

#include <stdbool.h>
#include <uv.h>

struct enf_daemon;

#define ENF_COMPARE_AT_ONCE 5000 /* single quarantines that are read in one go: some ms */

/* What elements of the quarantine sets that nobody asked for are taken for. */
enum enf_adopt {
    ENF_ADOPT_NONE,  /* left as they are: only what is missing counts */
    ENF_ADOPT_METER, /* those that somebody put there are taken out, the rest is the meter's */
    ENF_ADOPT_ALL,   /* all become quarantines: at a start nobody can know whose they are */
};

enum enf_table_state {
    ENF_TABLE_OK,
    ENF_TABLE_CHANGED, /* not as it should be, and not put right yet */
    ENF_TABLE_MISSING,
};

/* A walk through a large quarantine, some ms a turn of the loop. */
struct enf_patrol {
    uv_timer_t timer;
    bool running;
    bool again;  /* when it is done, once more: the sets were changed meanwhile */
    bool refill; /* the sets were emptied: no need to ask */
    bool begun;  /* after is set */
    struct enf_prefix after;
    size_t desired;
    size_t missing;
    uv_work_t work;
    struct enf_page *page;     /* on its way; NULL: none */
    bool anew;                 /* when it is back, from the beginning */
    struct enf_kernel *kernel; /* of the thread that asks */
    struct enf_scan *scan;     /* of a large static set */
    size_t scan_at;
    bool scan_stale; /* elements were changed meanwhile: once more */
    uint64_t scan_began_ms;
    uint64_t scan_next_ms;
};

/* Packets to port 25 that passed and should not have. */
struct enf_gap_counts {
    bool known;
    uint64_t quarantined; /* of subscribers in quarantine */
    uint64_t blocked;     /* of others whose group is blocked, but not to a smarthost */
    uint64_t unseen;      /* that could not be looked at */
};

#define ENF_GAP_SEEN 16
struct enf_gap {
    struct enf_witness *witness; /* NULL: nothing can be counted */
    bool watching;
    struct enf_gap_counts counts;
    struct enf_gap_seen {
        struct enf_addr source;
        uint16_t source_port;
        uint32_t sequence;
        uint8_t tcp_flags;
    } seen[ENF_GAP_SEEN];
    size_t seen_at;
};

struct enf_truth {
    bool ready;
    struct enf_notify *notify;
    uv_poll_t poll;
    uv_timer_t soon;
    struct enf_shape *wanted;    /* the table's shape after our last load; NULL: not known yet */
    bool unread;                 /* it is not, because others kept changing tables while it was read */
    struct enf_notify_news news; /* of others, not dealt with yet */
    uint64_t since_ms;           /* steady: when the first of it came; 0: none */
    bool repairing;
    bool looking;
    bool mended; /* something was put right in this look */
    bool failed_told;
    enum enf_table_state table;
    struct enf_fight fight;
    uint64_t repairs; /* how often something was put right */
    uint64_t changes; /* transactions of others that touched the table */
    uint64_t gap_ms;  /* of the last repair of the rules: from the notification to the end */
    struct enf_patrol patrol;
    struct enf_gap gap;
    uint64_t leaked;        /* packets, in all gaps */
    uint64_t leaked_before; /* the fight that is on */
};

/* --- truth.c --- */
/* Begins to listen, if it does not yet; before the rules are loaded, and after the bulk of the quarantine. 0
 * or -errno. */
int enf_truth_listen(struct enf_daemon *d);
/* Notes the table as it is now as the one that is wanted, right after it was loaded. 0 or -errno. */
int enf_truth_settle(struct enf_daemon *d);
void enf_truth_close(struct enf_daemon *d); /* handles; the loop must run once more */
void enf_truth_free(struct enf_daemon *d);
/* Looks at all of it now, puts it right and tells. In a fight it may be put off. 0 or -errno. */
int enf_truth_check(struct enf_daemon *d, enum enf_adopt adopt);
/* The kernel refused a change of ours with err (-errno): where that may be because others have changed the
 * table, and no look is under way, has the table put right now; the sets are for the look that follows. True
 * where it is right, so that trying once more makes sense; in a fight it may have to wait. */
bool enf_truth_mend(struct enf_daemon *d, int err);
/* A scan found what somebody has changed in a large static set: the rules are loaded anew, unless a fight has
 * that wait. */
void enf_truth_put_back(struct enf_daemon *d, const char *what);
/* Once a second. */
void enf_truth_tick(struct enf_daemon *d);
/* Reads what was told since. True where others changed something of ours. */
bool enf_truth_hear(struct enf_daemon *d);
/* Reads it, too: whether others changed elements of static sets, or may have, since the last look. The next
 * one is near then. */
bool enf_truth_static_changed(struct enf_daemon *d);
/* "nft (pid 4711)", or "somebody else". Listens first. */
const char *enf_truth_who(struct enf_daemon *d, char *out, size_t len);
/* An event of the truth loop; in a fight there is only the one that began it. */
void enf_truth_tell(struct enf_daemon *d, bool bad, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- gap.c --- */
/* Makes ready to count, while the privilege for it is there; without it nothing is counted, and that is said.
 */
void enf_gap_open(struct enf_daemon *d);
/* From now on; where it is counted already, goes on. */
void enf_gap_begin(struct enf_daemon *d);
/* Ends it and says what passed. */
struct enf_gap_counts enf_gap_end(struct enf_daemon *d);
/* The same in words. */
const char *enf_gap_words(const struct enf_daemon *d, const struct enf_gap_counts *counts, char *out,
                          size_t len);

/* --- repair.c --- */
/* Rebuilds the table. what: in words what is wrong. 0 or -errno. */
int enf_repair(struct enf_daemon *d, bool gone, const char *what);

/* --- compare.c: single quarantines --- */
/* All of them, read at once, and the prefixes. 0, 1 where some were missing and were put back, or -errno. */
int enf_compare_at_once(struct enf_daemon *d, enum enf_adopt adopt);
/* Where they are too many for that: strange elements now, the rest in pieces where that is due. */
int enf_compare_large(struct enf_daemon *d, enum enf_adopt adopt, bool due);

/* --- coverage.c --- */
/* Relays, interfaces of the governor, quarantine. */
int enf_compare(struct enf_daemon *d, enum enf_adopt adopt, bool due);
/* Coverage as found, and the events about it. */
void enf_coverage_set(struct enf_daemon *d, size_t desired, size_t missing);
/* Milliseconds from now_ms to until_ms, as the kernel wants them: at least 1. */
uint64_t enf_left_ms(uint64_t until_ms, uint64_t now_ms);
bool enf_same_end(uint64_t a, uint64_t b);

/* --- nets.c --- */
/* What the kernel was given last, of one family. */
struct enf_nets {
    bool known;
    struct enf_quarantine_ranges given[ENF_KERNEL_TIER_COUNT];
};
/* The prefixes in quarantine of one family into the kernel, whatever it has. */
int enf_nets_put(struct enf_daemon *d, enum enf_family family);
/* The same, where nobody else touched them since: only what differs from what was given last, if that is
 * known; else, and where that fails, all. */
int enf_nets_change(struct enf_daemon *d, enum enf_family family);
void enf_nets_forget(struct enf_nets *nets);
/* Compares, and puts them where they differ. Adds to *desired and *wrong. */
int enf_nets_check(struct enf_daemon *d, enum enf_family family, size_t *desired, size_t *wrong);

/* --- patrol.c --- */
/* Begins a walk, or has the one that runs followed by another. refill: see struct enf_patrol. */
void enf_patrol_start(struct enf_daemon *d, bool refill);
/* Has the large static sets read by it, where that is due or somebody changed elements. */
void enf_patrol_scan(struct enf_daemon *d);
/* The static sets were made anew: a scan of the old ones is of no use. */
void enf_patrol_new_sets(struct enf_daemon *d);
void enf_patrol_free(struct enf_daemon *d);
