/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes what strangers reach on the control socket: framing, request parsing, every reader of parameters.
 * The first byte says in pieces of which size the rest arrives and who sends it. */
#include "enforcer/control/framer.h"
#include "enforcer/control/params.h"
#include "enforcer/control/rpc.h"

#include <stdlib.h>

#define LINE_MAX_HERE 4096 /* small, so that the limit is met */
#define NOW_MS        1772366400000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                    struct enf_control_error *error)
{
    static const char *const names[] = {"addresses", "address", "for", "level", "reason",  "ticket",
                                        "force",     "limit",   "by",  "since", "actions", NULL};
    static const char *const by[] = {"connections", "destinations", "blocked", NULL};
    struct enf_prefix *prefixes = NULL;
    struct enf_prefix prefix;
    struct enf_addr addr;
    enum enf_level level;
    const char *text;
    uint64_t number;
    int64_t limit;
    size_t len = 0;
    bool flag;

    (void)ctx;
    (void)caller;
    if (enf_params_known(params, names, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_OPTIONAL, &prefix, error) < 0 ||
        enf_params_addr(params, "address", ENF_PARAM_OPTIONAL, &addr, error) < 0 ||
        enf_params_duration(params, "for", ENF_PARAM_OPTIONAL, &number, error) < 0 ||
        enf_params_level(params, "level", ENF_PARAM_OPTIONAL, &level, error) < 0 ||
        enf_params_text(params, "reason", ENF_PARAM_OPTIONAL, ENF_REASON_LEN - 1, &text, error) < 0 ||
        enf_params_text(params, "ticket", ENF_PARAM_OPTIONAL, ENF_TICKET_LEN - 1, &text, error) < 0 ||
        enf_params_bool(params, "force", ENF_PARAM_OPTIONAL, &flag, error) < 0 ||
        enf_params_integer(params, "limit", ENF_PARAM_OPTIONAL, 1, 10000, &limit, error) < 0 ||
        enf_params_choice(params, "by", ENF_PARAM_OPTIONAL, by, &len, error) < 0 ||
        enf_params_since(params, "since", ENF_PARAM_OPTIONAL, NOW_MS, &number, error) < 0 ||
        enf_params_actions(params, "actions", ENF_PARAM_OPTIONAL, &number, error) < 0 ||
        enf_params_prefixes(params, "addresses", ENF_PARAM_REQUIRED, &prefixes, &len, error) < 0)
        return -1;
    *result = json_pack("{s:I}", "len", (json_int_t)len);
    free(prefixes);
    return 0;
}

/* An answer is one line of JSON, whatever was asked. */
static void check(char *out, size_t len)
{
    json_t *json = json_loadb(out, len, JSON_REJECT_DUPLICATES, NULL);

    if (!json || out[len - 1] != '\n')
        abort();
    json_decref(json);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct enf_control_method methods[] = {{"m", false, read_all}, {"c", true, read_all}};
    static const struct enf_rpc rpc = {methods, 2, NULL, NULL};
    struct enf_control_caller caller = {.actor = "user:fuzz", .viewer = true};
    struct enf_framer framer = {0};
    size_t piece;
    int rc = 0;

    if (size == 0)
        return 0;
    piece = (size_t)(data[0] & 0x7f) + 1;
    caller.admin = data[0] & 0x80;
    for (size_t at = 1; at < size && rc >= 0; at += piece) {
        const char *line;
        char *out = NULL;
        size_t len;

        if (enf_framer_feed(&framer, (const char *)data + at, size - at < piece ? size - at : piece) != 0)
            break;
        while ((rc = enf_framer_next(&framer, LINE_MAX_HERE, &line, &len)) == 1)
            if (enf_rpc_handle(&rpc, &caller, line, len, &out, &len) == 1)
                check(out, len);
    }
    enf_framer_clear(&framer);
    return 0;
}
