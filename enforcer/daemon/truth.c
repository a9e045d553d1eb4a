/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to look: at once where others changed our table, on a timer, and slowly in a fight. */
#include "enforcer/daemon/truth.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEBOUNCE_MS  10   /* another firewall's reload is one transaction, or some that follow closely */
#define HEAR_AT_ONCE 4    /* turns of reading, of some hundred microseconds */
#define RETRY_MS     100  /* after a look that could not be finished */
#define INTERVAL_MS  5000 /* of looks without a reason */
#define ENTRIES_MS   10   /* and one ms more for so many quarantines */

const char *enf_truth_who(struct enf_daemon *d, char *out, size_t len)
{
    const struct enf_notify_news *news = &d->truth.news;

    enf_truth_hear(d); /* it may have happened while a look was reading */
    if (news->pid > 0 && *news->name)
        snprintf(out, len, "%s (pid %" PRIu32 ")", news->name, news->pid);
    else
        enf_text_copy(out, len, "somebody else");
    return out;
}

void enf_truth_tell(struct enf_daemon *d, bool bad, const char *format, ...)
{
    char text[1024];
    va_list args;

    d->truth.mended |= bad;
    if (d->truth.fight.on)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enf_tell_text(d, bad ? ENF_EVENT_RULESET_TAMPERED : ENF_EVENT_RULESET_RESTORED,
                  bad ? ENF_OUTCOME_FAILURE : ENF_OUTCOME_SUCCESS, NULL, "%s", text);
    enf_log_line("ruleset", "%s", text);
}

/* --- hearing --- */

static void on_soon(uv_timer_t *timer);

static void arm(struct enf_daemon *d, uint64_t ms)
{
    struct enf_truth *t = &d->truth;

    if (!t->ready || d->stopping)
        return;
    t->soon.data = d;
    if (!uv_is_active((uv_handle_t *)&t->soon) || uv_timer_get_due_in(&t->soon) > ms)
        uv_timer_start(&t->soon, on_soon, ms, 0);
}

/* To begin counting waits for all processors (synchronize_net): seconds while the kernel is busy with the
 * flush of a large set, in which nothing is put back anyway. */
static bool may_leak(const struct enf_notify_news *news)
{
    return news->rules || news->table_deleted ||
           (news->elements_removed > 0 && news->elements_removed <= ENF_COMPARE_AT_ONCE && !news->overrun);
}

bool enf_truth_hear(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;
    uint64_t before = t->news.transactions;
    bool overrun = t->news.overrun;

    if (!t->notify)
        return false;
    /* What is left is read in the next turn: a flush of a large set sends a message an element. */
    for (int i = 0; i < HEAR_AT_ONCE && enf_notify_read(t->notify, &t->news) == 1; i++)
        ;
    t->changes += t->news.transactions - before;
    bool news = t->news.transactions > before || t->news.overrun > overrun;
    if (news && t->since_ms == 0)
        t->since_ms = enf_clock_steady_ms();
    if (news && may_leak(&t->news))
        enf_gap_begin(d);
    return news;
}

static void hear_and_look(struct enf_daemon *d)
{
    uint64_t wait_ms = enf_fight_wait_ms(&d->truth.fight, enf_clock_steady_ms());

    if (enf_truth_hear(d))
        arm(d, wait_ms > DEBOUNCE_MS ? wait_ms : DEBOUNCE_MS);
}

bool enf_truth_static_changed(struct enf_daemon *d)
{
    hear_and_look(d);
    return d->truth.news.static_elements || d->truth.news.overrun;
}

static void on_notice(uv_poll_t *poll, int status, int events)
{
    struct enf_daemon *d = poll->data;

    (void)events;
    hear_and_look(d);
    /* Lost messages are an error of the socket to libuv, and it stops listening. */
    if (status < 0 && d->truth.ready)
        uv_poll_start(poll, UV_READABLE, on_notice);
}

int enf_truth_listen(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;

    if (!d->loop_ready || t->ready)
        return 0;
    int err = enf_notify_open(&t->notify);
    if (err < 0)
        return err;
    enf_notify_own_thread(t->notify, gettid());
    enf_notify_own_port(t->notify, enf_kernel_port(d->kernel));
    for (size_t i = 0; i < d->crew.len; i++)
        enf_notify_own_port(t->notify, enf_kernel_port(d->crew.workers[i].kernel));
    uv_poll_init(&d->loop, &t->poll, enf_notify_fd(t->notify));
    uv_timer_init(&d->loop, &t->soon);
    uv_timer_init(&d->loop, &t->patrol.timer);
    t->poll.data = t->soon.data = t->patrol.timer.data = d;
    uv_poll_start(&t->poll, UV_READABLE, on_notice);
    t->ready = true;
    return 0;
}

void enf_truth_close(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;

    if (!t->ready)
        return;
    t->ready = false;
    uv_close((uv_handle_t *)&t->poll, NULL);
    uv_close((uv_handle_t *)&t->soon, NULL);
    uv_close((uv_handle_t *)&t->patrol.timer, NULL);
}

void enf_truth_free(struct enf_daemon *d)
{
    enf_patrol_free(d);
    enf_notify_close(&d->truth.notify);
    enf_witness_close(&d->truth.gap.witness);
    enf_shape_free(&d->truth.wanted);
    enf_nets_forget(&d->nets[0]);
    enf_nets_forget(&d->nets[1]);
}

/* --- what is wanted --- */

/* In a repair the same text was loaded, so the same shape must come out: what does not was not repaired. */
static int judge_repair(struct enf_daemon *d, struct enf_shape *now)
{
    char what[ENF_REASON_LEN];

    if (enf_shape_diff(d->truth.wanted, now, what, sizeof what) == 0)
        return 0;
    enf_log_line("ruleset", "loading the rules did not put it right: %s", what);
    return -ESTALE;
}

int enf_truth_settle(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;
    struct enf_shape *now = NULL;

    if (!t->ready)
        return 0;
    int err = enf_shape_read(d->kernel, &now);
    /* Others never rest. What was loaded is in force all the same; it is read when they let it. */
    bool unread = err == -EINTR;
    if (err < 0 && !unread)
        return err;
    err = t->repairing && t->wanted && now ? judge_repair(d, now) : 0;
    /* Who changed it while it was loaded would be in what is wanted for ever. */
    bool shaken = enf_truth_hear(d);
    enf_patrol_new_sets(d);
    if (!t->repairing && shaken)
        enf_shape_free(&now);
    if (shaken || unread)
        arm(d, DEBOUNCE_MS);
    t->unread = unread && !shaken;
    if (err == 0 && (now || !t->repairing)) {
        if (t->repairing && t->wanted && now)
            enf_shape_adopt(now, t->wanted);
        enf_shape_free(&t->wanted);
        t->wanted = now;
        now = NULL;
    }
    enf_shape_free(&now);
    t->table = err == 0 ? ENF_TABLE_OK : ENF_TABLE_CHANGED;
    return err;
}

/* --- looking --- */

static void begin_fight(struct enf_daemon *d)
{
    const struct enf_fight *fight = &d->truth.fight;
    char who[64];
    d->truth.leaked_before = d->truth.leaked;
    struct enf_event event = {
        .action = ENF_EVENT_RULESET_TAMPERED,
        .outcome = ENF_OUTCOME_FAILURE,
        .count = fight->count,
        .interval_ms = enf_clock_steady_ms() - fight->began_ms,
    };

    snprintf(
        event.reason, sizeof event.reason,
        "%s changes the table again and again: put back %" PRIu64 " times in %" PRIu64
        " ms. From now on at most once in %d ms, without further events until it ends; meanwhile nothing "
        "may be filtered",
        enf_truth_who(d, who, sizeof who), fight->count, event.interval_ms, ENF_FIGHT_MAX_MS);
    enf_tell(d, &event);
    enf_log_line("ruleset", "%s", event.reason);
}

static void end_fight(struct enf_daemon *d)
{
    struct enf_fight *fight = &d->truth.fight;
    struct enf_event event = {
        .action = ENF_EVENT_RULESET_RESTORED,
        .outcome = ENF_OUTCOME_SUCCESS,
        .count = fight->count,
        .interval_ms = enf_clock_steady_ms() - fight->began_ms,
    };

    snprintf(event.reason, sizeof event.reason,
             "the other program has stopped: the table is complete since %d ms; it was put back %" PRIu64
             " times; at least %" PRIu64 " packets of quarantined or blocked subscribers passed to port 25",
             ENF_FIGHT_QUIET_MS, fight->count, d->truth.leaked - d->truth.leaked_before);
    *fight = (struct enf_fight){0};
    enf_tell(d, &event);
    enf_log_line("ruleset", "%s", event.reason);
}

/* A repair that must wait; what is known of it is not kept back. */
static void look_only(struct enf_daemon *d)
{
    size_t rules = 0;

    if (enf_kernel_rule_count(d->kernel, &rules) == -ENOENT)
        d->truth.table = ENF_TABLE_MISSING;
    else if (rules != d->rules_expected)
        d->truth.table = ENF_TABLE_CHANGED;
}

/* Elements of a large static set were changed before it was read for the first time: nobody can say what it
 * held, so it is made anew. */
static bool is_blurred(const struct enf_truth *t, char *what, size_t len)
{
    const char *set = enf_shape_unread(t->wanted);
    bool blurred = set && (t->news.static_elements || t->news.overrun);

    if (blurred)
        snprintf(what, len, "elements of static sets; set %s had not been read before, and is made anew",
                 set);
    return blurred;
}

static int check_shape(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;
    struct enf_shape *now = NULL;
    char what[ENF_REASON_LEN] = "";
    int err = enf_shape_read(d->kernel, &now);

    if (err == 0 && !t->wanted && t->unread && !t->news.transactions && !t->news.overrun) {
        t->wanted = now; /* since it was loaded nobody has touched it */
        t->table = ENF_TABLE_OK;
        return 0;
    }
    if (err == 0 && t->wanted && enf_shape_diff(t->wanted, now, what, sizeof what) == 0 &&
        !is_blurred(t, what, sizeof what)) {
        enf_shape_adopt(now, t->wanted);
        enf_shape_free(&t->wanted);
        t->wanted = now;
        t->table = ENF_TABLE_OK;
        return 0;
    }
    enf_shape_free(&now);
    if (err < 0 && err != -ENOENT)
        return err;
    t->table = err == -ENOENT ? ENF_TABLE_MISSING : ENF_TABLE_CHANGED;
    if (err == 0 && !t->wanted)
        enf_text_copy(what, sizeof what, "it was changed while it was loaded");
    return enf_repair(d, err == -ENOENT, what);
}

static uint64_t begin_look(struct enf_daemon *d)
{
    d->truth.mended = false;
    d->truth.looking = true;
    return enf_clock_steady_ms();
}

static void end_look(struct enf_daemon *d, uint64_t began_ms)
{
    struct enf_truth *t = &d->truth;
    uint64_t now_ms = enf_clock_steady_ms();

    t->looking = false;
    if (!t->mended)
        return;
    t->repairs++;
    enf_cut_want_anew(d); /* what passed meanwhile may be in a flowtable */
    if (enf_fight_repaired(&t->fight, now_ms, now_ms - began_ms))
        begin_fight(d);
}

void enf_truth_put_back(struct enf_daemon *d, const char *what)
{
    if (enf_fight_wait_ms(&d->truth.fight, enf_clock_steady_ms()) > 0) /* the next scan says it again */
        return;
    uint64_t began_ms = begin_look(d);
    enf_repair(d, false, what);
    end_look(d, began_ms);
}

bool enf_truth_mend(struct enf_daemon *d, int err)
{
    struct enf_truth *t = &d->truth;

    if (!t->ready || t->looking || err == -ENOMEM || err == -ENFILE) /* a set that is full */
        return false;
    enf_truth_hear(d);
    arm(d, DEBOUNCE_MS);
    if (enf_fight_wait_ms(&t->fight, enf_clock_steady_ms()) > 0)
        return false;
    uint64_t began_ms = begin_look(d);
    err = check_shape(d);
    end_look(d, began_ms);
    return err == 0;
}

static int look(struct enf_daemon *d, enum enf_adopt adopt, bool due)
{
    struct enf_truth *t = &d->truth;

    enf_truth_hear(d);
    uint64_t wait_ms = enf_fight_wait_ms(&t->fight, enf_clock_steady_ms());
    if (wait_ms > 0) {
        look_only(d);
        arm(d, wait_ms);
        return 0;
    }
    uint64_t heard = t->news.transactions;
    bool overrun = t->news.overrun;
    uint64_t began_ms = begin_look(d);
    int err = check_shape(d);
    if (err == 0)
        err = enf_compare(d, adopt, due);
    end_look(d, began_ms);
    if (err < 0) {
        uint64_t now_ms = enf_clock_steady_ms();
        wait_ms = enf_fight_wait_ms(&t->fight, now_ms);
        arm(d, wait_ms > RETRY_MS ? wait_ms : RETRY_MS);
        return err;
    }
    t->failed_told = false;
    /* Where the quarantine is still being filled in, it is counted until that is done. */
    if (!t->patrol.refill)
        enf_gap_end(d);
    /* What came while we looked is for the next look. */
    if (t->news.transactions > heard || t->news.overrun > overrun) {
        arm(d, DEBOUNCE_MS);
        return 0;
    }
    t->news = (struct enf_notify_news){0};
    t->since_ms = 0;
    return 0;
}

static int look_and_say(struct enf_daemon *d, enum enf_adopt adopt, bool due)
{
    int err = look(d, adopt, due);

    if (err < 0 && err != -EINTR && !d->truth.failed_told) {
        d->truth.failed_told = true;
        enf_log_line("coverage", "could not be checked, it is tried again: %s", strerror(-err));
    }
    return err;
}

int enf_truth_check(struct enf_daemon *d, enum enf_adopt adopt)
{
    return look_and_say(d, adopt, false);
}

static void on_soon(uv_timer_t *timer)
{
    look_and_say(timer->data, ENF_ADOPT_METER, false);
}

/* Often while it costs little, seldom where the sets are large: never more than some percent of the time. */
void enf_truth_tick(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;
    uint64_t now_ms = enf_clock_steady_ms();
    uint64_t wait_ms = INTERVAL_MS + enf_quarantine_count(d->quarantine) / ENTRIES_MS;

    if (t->fight.on && now_ms >= t->fight.repairs[0] + ENF_FIGHT_QUIET_MS &&
        look_and_say(d, ENF_ADOPT_METER, false) == 0 && enf_fight_over(&t->fight, now_ms))
        end_fight(d);
    if (now_ms < d->coverage.checked_steady_ms + wait_ms || t->patrol.running)
        return;
    d->coverage.checked_steady_ms = now_ms;
    look_and_say(d, ENF_ADOPT_METER, true);
}
