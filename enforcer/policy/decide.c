/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of who is quarantined, and the sentence that explains it. */
#include "enforcer/policy/decide.h"
#include "enforcer/core/text.h"

#include <stdio.h>
#include <string.h>

#define DURATION_LEN 32

_Static_assert(ENF_LEVEL_COUNT == 4, "a new level needs a text");
static const char *const LEVEL_TEXTS[ENF_LEVEL_COUNT] = {
    [ENF_LEVEL_NONE] = "nothing is refused",
    [ENF_LEVEL_THROTTLE] = "only a few new connections to TCP/25 pass",
    [ENF_LEVEL_SMTP] = "TCP/25 is refused",
    [ENF_LEVEL_FULL] = "everything but the portal is refused",
};

_Static_assert(ENF_DECISION_KIND_COUNT == 6, "a new kind needs a name");
static const char *const KIND_NAMES[ENF_DECISION_KIND_COUNT] = {
    [ENF_DECISION_QUARANTINE] = "quarantine",
    [ENF_DECISION_WOULD_QUARANTINE] = "would-quarantine",
    [ENF_DECISION_EXEMPT] = "exempt",
    [ENF_DECISION_REPORT_ONLY] = "report-only",
    [ENF_DECISION_HELD_BY_GOVERNOR] = "held-by-governor",
    [ENF_DECISION_ALREADY] = "already",
};

const char *enf_decision_kind_name(enum enf_decision_kind kind)
{
    return (unsigned)kind < ENF_DECISION_KIND_COUNT ? KIND_NAMES[kind] : NULL;
}

bool enf_decide_touches(const struct enf_rangemap *map, const struct enf_prefix *prefix)
{
    return enf_rangemap_meets(map, prefix) != NULL;
}

/* The step of the nth conviction; the last one repeats. */
static struct enf_decide_step step_of(const struct enf_decide_settings *settings, uint32_t convictions)
{
    size_t step = convictions ? convictions - 1 : 0;
    struct enf_decide_step found = {.duration_ms = settings->duration_ms};

    if (step >= settings->escalation_len)
        step = settings->escalation_len - 1;
    if (settings->escalation_len)
        found = settings->escalation[step];
    if (found.level == ENF_LEVEL_NONE)
        found.level = settings->level;
    return found;
}

uint64_t enf_decide_duration(const struct enf_decide_settings *settings, uint32_t convictions)
{
    return step_of(settings, convictions).duration_ms;
}

enum enf_level enf_decide_level(const struct enf_decide_settings *settings, uint32_t convictions)
{
    return step_of(settings, convictions).level;
}

static uint64_t until_of(uint64_t now_ms, uint64_t duration_ms)
{
    return duration_ms < ENF_FOREVER - now_ms ? now_ms + duration_ms : ENF_FOREVER;
}

/* Level and time, as if nothing stood against it. */
static void sentence(const struct enf_decide_facts *facts, const struct enf_decide_settings *settings,
                     struct enf_decision *out)
{
    out->convictions = facts->convictions < UINT32_MAX ? facts->convictions + 1 : UINT32_MAX;
    out->level = enf_decide_level(settings, out->convictions);
    if (facts->forgeable_only && out->level == ENF_LEVEL_FULL)
        out->level = ENF_LEVEL_SMTP;
    out->duration_ms = enf_decide_duration(settings, out->convictions);
    if (facts->dynamic && out->duration_ms > facts->lease_ms)
        out->duration_ms = facts->lease_ms;
    out->until_ms = until_of(facts->now_ms, out->duration_ms);
}

/* A zombie in quarantine goes on trying: that is no new conviction, or its time would grow with each attempt.
 * One by hand that is weaker or shorter than what the conviction gives does not stand in its way. */
static bool is_served(const struct enf_decide_facts *facts, const struct enf_decision *decision)
{
    if (!facts->quarantined.is || facts->quarantined.level < decision->level)
        return false;
    return facts->quarantined.automatic || facts->quarantined.level > decision->level ||
           facts->quarantined.until_ms >= decision->until_ms;
}

static bool is_exempt(const struct enf_decide_facts *facts)
{
    return facts->relay || facts->smarthost || facts->never || facts->policy == ENF_POLICY_NONE;
}

static enum enf_decision_kind kind_of(const struct enf_decide_facts *facts,
                                      const struct enf_decision *decision)
{
    if (is_exempt(facts))
        return ENF_DECISION_EXEMPT;
    if (facts->observe_mode || facts->policy == ENF_POLICY_OBSERVE)
        return ENF_DECISION_WOULD_QUARANTINE;
    if (is_served(facts, decision))
        return ENF_DECISION_ALREADY;
    if (!facts->automatic)
        return ENF_DECISION_REPORT_ONLY;
    return facts->governor_held ? ENF_DECISION_HELD_BY_GOVERNOR : ENF_DECISION_QUARANTINE;
}

/* --- words -------------------------------------------------------------------------------------------------
 */

static const char *exempt_words(const struct enf_decide_facts *facts)
{
    if (facts->relay)
        return "it is an authorised relay";
    if (facts->smarthost)
        return "it is a smarthost";
    return facts->never ? "it is in quarantine.never" : "it is in no group";
}

static const char *ordinal(uint32_t n, char *buf, size_t buf_len)
{
    const char *ending = "th";

    if (n % 100 < 11 || n % 100 > 13)
        ending = n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
    snprintf(buf, buf_len, "%u%s", n, ending);
    return buf;
}

/* What is or would be done: "TCP/25 is refused for 6h (2nd conviction)". */
static void measure_words(const struct enf_decision *decision, char *buf, size_t buf_len)
{
    char duration[DURATION_LEN];
    char nth[DURATION_LEN];

    enf_duration_str(decision->duration_ms, duration, sizeof(duration));
    snprintf(buf, buf_len, "%s %s%s (%s conviction)", LEVEL_TEXTS[decision->level],
             decision->duration_ms == ENF_FOREVER ? "" : "for ",
             decision->duration_ms == ENF_FOREVER ? "without end" : duration,
             ordinal(decision->convictions, nth, sizeof(nth)));
}

static void already_words(const struct enf_decide_facts *facts, char *buf, size_t buf_len)
{
    char until[ENF_TIME_STR_LEN] = "released";

    if (facts->quarantined.until_ms != ENF_FOREVER)
        enf_time_str(facts->quarantined.until_ms, until, sizeof(until));
    snprintf(buf, buf_len, "already in quarantine at level %s, %s, until %s",
             enf_level_name(facts->quarantined.level),
             facts->quarantined.automatic ? "by conviction" : "by hand", until);
}

static void say(const struct enf_decide_facts *facts, struct enf_decision *out)
{
    char measure[112];
    char what[ENF_REASON_LEN - 192];
    char done[188] = "";

    measure_words(out, measure, sizeof(measure));
    switch (out->kind) {
    case ENF_DECISION_QUARANTINE:
        snprintf(done, sizeof(done), "%s", measure);
        break;
    case ENF_DECISION_WOULD_QUARANTINE:
        snprintf(done, sizeof(done), "observed only, nothing is done; otherwise: %s", measure);
        break;
    case ENF_DECISION_EXEMPT:
        snprintf(done, sizeof(done), "not quarantined: %s", exempt_words(facts));
        break;
    case ENF_DECISION_REPORT_ONLY:
        snprintf(done, sizeof(done), "not quarantined: quarantine.automatic is off; otherwise: %s", measure);
        break;
    case ENF_DECISION_HELD_BY_GOVERNOR:
        snprintf(done, sizeof(done),
                 "not quarantined: the governor stopped it on this interface; otherwise: %s", measure);
        break;
    case ENF_DECISION_ALREADY:
        already_words(facts, done, sizeof(done));
        break;
    }
    /* the detector's words are cut, where it must be, not what was done */
    enf_text_copy(what, sizeof(what), facts->what ? facts->what : "");
    snprintf(out->reason, sizeof(out->reason), "%s%s%s", what, what[0] ? ": " : "", done);
}

struct enf_decision enf_decide(const struct enf_decide_facts *facts,
                               const struct enf_decide_settings *settings)
{
    struct enf_decision decision = {.level = ENF_LEVEL_NONE};

    sentence(facts, settings, &decision);
    decision.kind = kind_of(facts, &decision);
    say(facts, &decision);
    if (decision.kind == ENF_DECISION_EXEMPT) {
        decision.level = ENF_LEVEL_NONE;
        decision.duration_ms = 0;
        decision.until_ms = 0;
    }
    return decision;
}
