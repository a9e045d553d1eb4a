/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quarantine, release, list, reassigned. */
#include "enforcer/core/event.h"
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <string.h>

#define PAGE 1000

/* One sentence an entry; what the daemon has to say about it behind a dash. */
static void print_entry(const struct ctl *ctl, const char *did, const json_t *entry)
{
    const char *note = text_at(entry, "note");
    char until[PRINT_TIME_LEN];

    printf("%s ", did);
    print_clean(stdout, text_at(entry, "subscriber"));
    printf(" (level ");
    print_clean(stdout, text_at(entry, "level"));
    printf(") until %s", until_at(ctl, entry, "until", until));
    if (note[0]) {
        fputs(" - ", stdout);
        print_clean(stdout, note);
    }
    putchar('\n');
}

static int check_level(const struct ctl *ctl)
{
    const char *text = ctl->options[CTL_OPT_LEVEL];
    enum enf_level level = ENF_LEVEL_SMTP;

    if (text && (enf_level_from_name(text, &level) != 0 || level == ENF_LEVEL_NONE))
        return ctl_usage(ctl, "--level: %s is not throttle, smtp or full", text);
    return CTL_DONE;
}

int ctl_quarantine(const struct ctl *ctl)
{
    json_t *params = NULL;
    json_t *result = NULL;
    const json_t *list;
    int rc = check_level(ctl);

    if (!rc && !args_is_duration(ctl, CTL_OPT_FOR, true))
        rc = CTL_USAGE;
    if (!rc)
        rc = args_addresses(ctl, &params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_FOR, "for", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_LEVEL, "level", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_REASON, "reason", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_TICKET, "ticket", params);
    if (rc) {
        json_decref(params);
        return rc;
    }
    if (ctl->options[CTL_OPT_FORCE])
        json_object_set_new(params, "force", json_true());
    rc = ctl_call(ctl, "quarantine.add", params, &result);
    list = json_at(result, "quarantined");
    for (size_t i = 0; i < json_array_size(list); i++)
        print_entry(ctl, "quarantined", json_array_get(list, i));
    json_decref(result);
    return rc;
}

int ctl_release(const struct ctl *ctl)
{
    json_t *params = NULL;
    json_t *result = NULL;
    const json_t *list;
    int rc = args_addresses(ctl, &params);

    if (!rc)
        rc = args_add(ctl, CTL_OPT_REASON, "reason", params);
    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_call(ctl, "quarantine.release", params, &result);
    list = json_at(result, "released");
    if (result && json_array_size(list) == 0)
        puts("nothing was in quarantine there");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        char since[PRINT_TIME_LEN];

        fputs("released ", stdout);
        print_clean(stdout, text_at(entry, "subscriber"));
        fputs(" (level ", stdout);
        print_clean(stdout, text_at(entry, "level"));
        printf(" since %s)\n", time_near_at(ctl, entry, "since", since));
    }
    if (number_at(result, "total") > (long long)json_array_size(list))
        printf("and %lld more\n", number_at(result, "total") - (long long)json_array_size(list));
    json_decref(result);
    return rc;
}

int ctl_reassigned(const struct ctl *ctl)
{
    json_t *params = NULL;
    json_t *result = NULL;
    const json_t *list;
    int rc = args_addresses(ctl, &params);

    if (!rc)
        rc = ctl_call(ctl, "subscriber.reassigned", params, &result);
    list = json_at(result, "reassigned");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *subscriber = json_string_value(json_array_get(list, i));

        fputs("reassigned ", stdout);
        print_clean(stdout, subscriber ? subscriber : "?");
        puts(": quarantine, counters and history have ended");
    }
    json_decref(result);
    return rc;
}

/* What the kernel does about it, in a word. */
static const char *state_of(const json_t *entry)
{
    const char *note = text_at(entry, "note");

    if (note[0])
        return note;
    return true_at(entry, "enforced") ? "enforced" : "NOT ENFORCED";
}

static void add_row(const struct ctl *ctl, struct table *table, const json_t *entry)
{
    const char *state = state_of(entry);
    char since[PRINT_TIME_LEN];
    char until[PRINT_TIME_LEN];

    table_cell(table, strcmp(state, "NOT ENFORCED") == 0 ? PRINT_RED : PRINT_PLAIN, "%s",
               text_at(entry, "subscriber"));
    table_cell(table, PRINT_PLAIN, "%s%s", text_at(entry, "level"),
               true_at(entry, "forced") ? " (forced)" : "");
    table_cell(table, PRINT_PLAIN, "%s", time_at(entry, "since", since));
    table_cell(table, PRINT_PLAIN, "%s", until_at(ctl, entry, "until", until));
    table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "actor"));
    table_cell(table, PRINT_PLAIN, "%lld", number_at(entry, "convictions"));
    table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "ticket"));
    table_cell(table, PRINT_PLAIN, "%s", state);
    table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "reason"));
}

/* A list of any length is printed as it comes, page by page; as JSON it is one object all the same. */
struct listing {
    const struct ctl *ctl;
    struct table *table; /* NULL for JSON */
    size_t shown;
    size_t limit;
};

static void print_page(struct listing *listing, const json_t *page)
{
    const json_t *entries = json_at(page, "entries");

    for (size_t i = 0; i < json_array_size(entries) && listing->shown < listing->limit; i++) {
        const json_t *entry = json_array_get(entries, i);

        if (listing->table) {
            add_row(listing->ctl, listing->table, entry);
        } else {
            fputs(listing->shown ? ",\n    " : "\n    ", stdout);
            json_dumpf(entry, stdout, 0);
        }
        listing->shown++;
    }
    table_print(listing->table);
}

static void print_end_of_list(const struct listing *listing, const json_t *page)
{
    long long total = number_at(page, "total");

    if (!listing->table) {
        fputs(listing->shown ? "\n  ],\n  \"next\": " : "],\n  \"next\": ", stdout);
        if (json_at(page, "next"))
            json_dumpf(json_at(page, "next"), stdout, JSON_ENCODE_ANY);
        else
            fputs("null", stdout);
        printf(",\n  \"total\": %lld\n}\n", total);
    } else if (listing->shown == 0) {
        puts("nobody is in quarantine");
    } else if ((long long)listing->shown < total) {
        printf("%zu of %lld\n", listing->shown, total);
    }
}

static int print_list(struct ctl_rpc *rpc, struct listing *listing)
{
    json_t *page = NULL;
    json_t *next = NULL;
    int rc;

    do {
        size_t want = listing->limit - listing->shown < PAGE ? listing->limit - listing->shown : PAGE;
        json_t *params = json_pack("{s:I, s:O*}", "limit", (json_int_t)want, "after", next);

        json_decref(page);
        page = NULL;
        rc = ctl_rpc_call(rpc, "quarantine.list", params, &page);
        if (rc)
            return rc;
        if (!listing->table && listing->shown == 0 && !next)
            fputs("{\n  \"entries\": [", stdout);
        print_page(listing, page);
        next = json_object_get(
            page, "next"); /* borrowed from the page, which lives until the next request is made */
    } while (json_is_string(next) && listing->shown < listing->limit);
    print_end_of_list(listing, page);
    json_decref(page);
    return CTL_DONE;
}

int ctl_list(const struct ctl *ctl)
{
    static const char *const headers[] = {"SUBSCRIBER", "LEVEL",  "SINCE", "UNTIL", "BY",
                                          ">CONVICTED", "TICKET", "STATE", "REASON"};
    struct listing listing = {.ctl = ctl, .limit = SIZE_MAX};
    json_t *limit = json_object();
    struct ctl_rpc *rpc = NULL;
    int rc = args_limit(ctl, limit);

    if (json_object_size(limit) > 0)
        listing.limit = (size_t)number_at(limit, "limit");
    json_decref(limit);
    if (!rc)
        rc = ctl_rpc_open(ctl, &rpc);
    if (rc)
        return rc;
    if (!ctl->json)
        listing.table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    rc = print_list(rpc, &listing);
    table_free(&listing.table);
    ctl_rpc_close(&rpc);
    return rc;
}
