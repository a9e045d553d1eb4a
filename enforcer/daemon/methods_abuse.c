/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.abuse: what subscriber.show knows of a conviction, as XARF 4 (connection/infected_host) or as ARF
 * (RFC 5965). */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define XARF_VERSION  "4.2.0"
#define ARF_LINES_MAX 50 /* of evidence in the text; the latest */
#define UUID_LEN      37

struct facts {
    const struct enf_config *config;
    const json_t *shown;      /* the result of subscriber.show */
    const json_t *conviction; /* the latest line of history that says "convicted" */
    const json_t *evidence;
    const char *source; /* address or prefix */
    const char *first_seen;
    const char *last_seen;
    char uuid[UUID_LEN];
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* RFC 9562, version 4. */
static int make_uuid(char out[UUID_LEN])
{
    unsigned char b[16];

    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return -EIO;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0, at = 0; i < sizeof b; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        snprintf(out + at, UUID_LEN - at, "%s%02x", dash ? "-" : "", b[i]);
        at += dash ? 3 : 2;
    }
    return 0;
}

/* RFC 4648, 4. Malloced, or NULL. */
static char *base64(const char *text, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc((len + 2) / 3 * 4 + 1);
    size_t at = 0;

    for (size_t i = 0; out && i < len; i += 3) {
        unsigned have = len - i < 3 ? (unsigned)(len - i) : 3;
        uint32_t bits = 0;
        for (unsigned j = 0; j < 3; j++)
            bits = bits << 8 | (j < have ? (unsigned char)text[i + j] : 0);
        for (unsigned j = 0; j < 4; j++)
            out[at++] = j <= have ? digits[bits >> (18 - 6 * j) & 63] : '=';
    }
    if (out)
        out[at] = '\0';
    return out;
}

static const json_t *latest_conviction(const json_t *shown)
{
    const json_t *history = json_object_get(shown, "history");

    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *line = json_array_get(history, i);
        if (strcmp(text_of(line, "action"), "convicted") == 0)
            return line;
    }
    return NULL;
}

static const json_t *last_evidence(const struct facts *f)
{
    size_t len = json_array_size(f->evidence);

    return len > 0 ? json_array_get(f->evidence, len - 1) : NULL;
}

static json_int_t total(const struct facts *f)
{
    json_int_t count = json_integer_value(json_object_get(f->shown, "evidence_total"));

    return count > 0 ? count : 1;
}

/* --- XARF --------------------------------------------------------------------------------------------------
 */

static json_t *contact_json(const struct enf_config *config)
{
    return json_pack("{s:o, s:s, s:s}", "org", enf_control_text(config->report.organisation), "contact",
                     config->report.contact, "domain", config->report.domain);
}

static json_t *evidence_item(const struct facts *f)
{
    char *text = json_dumps(f->evidence, JSON_COMPACT | JSON_REAL_PRECISION(12));
    size_t len = text ? strlen(text) : 0;
    char *payload = text ? base64(text, len) : NULL;
    json_t *item =
        payload ? json_pack("{s:s, s:s, s:s, s:I}", "content_type", "application/json", "description",
                            "connections to TCP port 25 that the gateway saw, each with what it counted "
                            "for; times in UTC",
                            "payload", payload, "size", (json_int_t)len)
                : NULL;

    free(text);
    free(payload);
    return item;
}

static json_t *xarf_json(const struct facts *f)
{
    const json_t *last = last_evidence(f);
    json_t *report = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:[s], s:o}", "xarf_version",
        XARF_VERSION, "report_id", f->uuid, "timestamp", text_of(f->conviction, "time"), "reporter",
        contact_json(f->config), "sender", contact_json(f->config), "source_identifier", f->source,
        "category", "connection", "type", "infected_host", "protocol", "tcp", "bot_type", "malicious",
        "first_seen", f->first_seen, "last_seen", f->last_seen, "total_requests", total(f), "evidence_source",
        "traffic_analysis", "tags", "spam:outbound-smtp", "description",
        enf_control_text(text_of(f->conviction, "reason")));

    if (report && last && json_is_string(json_object_get(last, "destination"))) {
        json_object_set(report, "destination_ip", json_object_get(last, "destination"));
        if (json_integer_value(json_object_get(last, "port")) > 0)
            json_object_set(report, "destination_port", json_object_get(last, "port"));
    }
    if (report && json_array_size(f->evidence) > 0 &&
        json_object_set_new(report, "evidence", json_pack("[o]", evidence_item(f))) < 0) {
        json_decref(report);
        return NULL;
    }
    return report;
}

/* --- ARF ---------------------------------------------------------------------------------------------------
 */

/* "Sun, 01 Mar 2026 12:00:07 +0000" (RFC 5322, 3.3). */
static void put_date(FILE *to, const char *key, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm when;
    char text[64] = "";

    if (gmtime_r(&seconds, &when))
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &when);
    fprintf(to, "%s: %s\n", key, text);
}

static uint64_t time_of(const char *text)
{
    uint64_t ms = 0;

    return enf_time_parse(text, &ms) < 0 ? enf_clock_wall_ms() : ms;
}

/* On one line, whatever it is. */
static void put_line(FILE *to, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, to);
    fputc('\n', to);
}

static void put_human_part(FILE *to, const struct facts *f)
{
    size_t len = json_array_size(f->evidence);
    size_t first = len > ARF_LINES_MAX ? len - ARF_LINES_MAX : 0;

    fprintf(to, "This is a report of abuse by ");
    put_line(to, f->config->report.organisation);
    fprintf(to, "about %s, which behaves like a host that sends spam over TCP port 25.\n\nWhy: ", f->source);
    put_line(to, text_of(f->conviction, "reason"));
    fprintf(to, "When: %s to %s (UTC)\n\n", f->first_seen, f->last_seen);
    fprintf(to, "What was seen, %zu of %lld observations:\n\n", len - first, (long long)total(f));
    for (size_t i = first; i < len; i++) {
        const json_t *e = json_array_get(f->evidence, i);
        fprintf(to, "%s  %s  %s port %lld%s\n", text_of(e, "time"), text_of(e, "kind"),
                text_of(e, "destination"), (long long)json_integer_value(json_object_get(e, "port")),
                json_is_true(json_object_get(e, "blocked")) ? "  (refused)" : "");
    }
    fprintf(to, "\nNo message was read or kept. Questions to %s.\n", f->config->report.contact);
}

/* Source-IP is one address. */
static void put_source(FILE *to, const char *source)
{
    fprintf(to, "Source-IP: %.*s\n", (int)strcspn(source, "/"), source);
}

static char *arf_text(const struct facts *f)
{
    uint64_t seen = time_of(f->last_seen);
    struct enf_text text;
    FILE *to = enf_text_open(&text);
    char *out = NULL;

    if (!to)
        return NULL;
    fprintf(to, "From: <%s>\n", f->config->report.contact);
    put_date(to, "Date", enf_clock_wall_ms());
    fprintf(to, "Subject: Abuse report: %s\nMessage-ID: <%s@%s>\nMIME-Version: 1.0\n", f->source, f->uuid,
            f->config->report.domain);
    fprintf(to, "Content-Type: multipart/report; report-type=feedback-report;\n boundary=\"=_%s\"\n\n",
            f->uuid);
    fprintf(to, "--=_%s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
            f->uuid);
    put_human_part(to, f);
    fprintf(to, "\n--=_%s\nContent-Type: message/feedback-report\n\n", f->uuid);
    fprintf(to, "Feedback-Type: abuse\nUser-Agent: enforcer/" ENF_VERSION "\nVersion: 1\n");
    put_source(to, f->source);
    put_date(to, "Arrival-Date", seen);
    fprintf(to, "Incidents: %lld\nReporting-MTA: dns; %s\n", (long long)total(f), f->config->report.domain);
    /* RFC 5965 wants the headers of a message here. There is none, and none is made up. */
    fprintf(to, "\n--=_%s\nContent-Type: text/rfc822-headers\n\n", f->uuid);
    put_date(to, "Date", seen);
    fprintf(to, "X-Enforcer-Note: no message was read or kept; the first part has the connections\n");
    fprintf(to, "X-Enforcer-Source: %s\n\n--=_%s--\n", f->source, f->uuid);
    return enf_text_close(to, &text, &out) < 0 ? NULL : out;
}

/* --- the method --------------------------------------------------------------------------------------------
 */

static json_t *compose(const struct facts *f, bool arf)
{
    if (!arf)
        return json_pack("{s:s, s:o}", "format", "xarf", "report", xarf_json(f));
    char *text = arf_text(f);
    json_t *out = text ? json_pack("{s:s, s:o}", "format", "arf", "report", enf_control_text(text)) : NULL;
    free(text);
    return out;
}

/* An address that was asked for is more than its subscriber's prefix. */
static const char *source_of(const json_t *params, const json_t *shown)
{
    const char *asked = text_of(params, "address");

    return strchr(asked, '/') ? text_of(shown, "subscriber") : asked;
}

METHOD(enf_method_report_abuse)
{
    static const char *const known[] = {"address", "format", NULL};
    static const char *const formats[] = {"xarf", "arf", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix given;
    json_t *shown = NULL;
    size_t format = 0;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_REQUIRED, &given, error) < 0 ||
        enf_params_choice(params, "format", ENF_PARAM_OPTIONAL, formats, &format, error) < 0)
        return -EINVAL;
    if (!*d->running->config->report.organisation)
        return enf_control_fail(error, ENF_CONTROL_REFUSED,
                                "who reports is not configured: section report of the configuration");
    json_t *question = json_pack("{s:O}", "address", json_object_get(params, "address"));
    int err = question ? enf_method_show(d, caller, question, &shown, error) : -ENOMEM;
    json_decref(question);
    if (err < 0)
        return err == -ENOMEM ? enf_done(NULL, result, error) : err;
    struct facts facts = {.config = d->running->config,
                          .shown = shown,
                          .conviction = latest_conviction(shown),
                          .evidence = json_object_get(shown, "evidence"),
                          .source = source_of(params, shown)};
    if (!facts.conviction) {
        err = enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "%s: no conviction is known", facts.source);
        json_decref(shown);
        return err;
    }
    const json_t *last = last_evidence(&facts);
    facts.first_seen =
        last ? text_of(json_array_get(facts.evidence, 0), "time") : text_of(facts.conviction, "time");
    facts.last_seen = text_of(last ? last : facts.conviction, "time");
    json_t *out = make_uuid(facts.uuid) == 0 ? compose(&facts, format == 1) : NULL;
    json_decref(shown);
    return enf_done(out, result, error);
}
