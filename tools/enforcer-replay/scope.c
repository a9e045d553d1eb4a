/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as a replay needs it. */
#include "scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_SUBSCRIBERS 1000000

/* The whole file, up to one byte more than is accepted; the length tells. */
static char *read_file(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(ENF_CONFIG_TEXT_MAX + 1) : NULL;
    if (text) {
        *out_len = fread(text, 1, ENF_CONFIG_TEXT_MAX + 1, file);
        if (ferror(file)) {
            free(text);
            text = NULL;
        }
    }
    int error = errno;
    if (file)
        (void)fclose(file);
    errno = error;
    return text;
}

static bool parse(const char *path, struct enf_config **out)
{
    struct enf_config_errors errors = {0};
    size_t len = 0;
    char *text = read_file(path, &len);
    if (!text) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    int rc = enf_config_parse(path, text, len, out, &errors);
    free(text);
    for (size_t i = 0; i < errors.len; i++)
        (void)fprintf(stderr, "%s\n", errors.lines[i]);
    if (rc != 0 && errors.len == 0)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(-rc));
    enf_config_errors_clear(&errors);
    return rc == 0;
}

static int build_map(const struct enf_prefix *const *lists, const size_t *lens, size_t lists_len,
                     struct enf_rangemap *out)
{
    size_t total = 0;
    for (size_t i = 0; i < lists_len; i++)
        total += lens[i];
    if (total == 0)
        return 0;
    struct enf_rangemap_input *input = calloc(total, sizeof(*input));
    if (!input)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < lists_len; i++)
        for (size_t k = 0; k < lens[i]; k++)
            input[n++] = (struct enf_rangemap_input){lists[i][k], 0};
    int rc = enf_rangemap_build(input, n, out);
    free(input);
    return rc;
}

static int build_relays(const struct enf_config *config, struct enf_rangemap *out)
{
    const struct enf_prefix *lists[ENF_RELAYS_MAX];
    size_t lens[ENF_RELAYS_MAX];
    size_t n = 0;
    for (; n < config->relays_len && n < ENF_RELAYS_MAX; n++) {
        lists[n] = config->relays[n].addresses;
        lens[n] = config->relays[n].addresses_len;
    }
    return build_map(lists, lens, n, out);
}

static int build_smarthosts(const struct enf_config *config, struct enf_rangemap *out)
{
    const struct enf_prefix **lists = calloc(config->smarthosts_len + 1, sizeof(const struct enf_prefix *));
    size_t *lens = calloc(config->smarthosts_len + 1, sizeof(*lens));
    int rc = -ENOMEM;
    if (lists && lens) {
        for (size_t i = 0; i < config->smarthosts_len; i++) {
            lists[i] = config->smarthosts[i].addresses;
            lens[i] = config->smarthosts[i].addresses_len;
        }
        rc = build_map(lists, lens, config->smarthosts_len, out);
    }
    free(lists);
    free(lens);
    return rc;
}

bool scope_load(const char *path, struct scope *out)
{
    struct scope scope = {.defaults = enf_detector_defaults(ENF_POLICY_BLOCK),
                          .max_subscribers = DEFAULT_MAX_SUBSCRIBERS};
    if (path) {
        if (!parse(path, &scope.config))
            return false;
        scope.max_subscribers = scope.config->max_subscribers;
        int rc = enf_group_index_build(scope.config->groups, scope.config->groups_len, &scope.groups);
        if (rc == 0)
            rc = build_relays(scope.config, &scope.relays);
        if (rc == 0)
            rc = build_smarthosts(scope.config, &scope.smarthosts);
        if (rc != 0) {
            (void)fprintf(stderr, "%s: %s\n", path, strerror(-rc));
            scope_clear(&scope);
            return false;
        }
    }
    *out = scope;
    return true;
}

void scope_clear(struct scope *scope)
{
    enf_group_index_clear(&scope->groups);
    enf_rangemap_clear(&scope->relays);
    enf_rangemap_clear(&scope->smarthosts);
    enf_config_free(&scope->config);
}

bool scope_claim(const struct scope *scope, struct enf_observation *obs, struct claim *out)
{
    struct claim claim = {.settings = &scope->defaults};
    /* A capture alone proves nobody's source. */
    bool forgeable = true;
    bool reply = obs->kind == ENF_OBSERVATION_REPLY;
    const struct enf_addr *host = reply ? &obs->destination : &obs->source;
    if (scope->config) {
        if (enf_rangemap_find(&scope->relays, host) ||
            enf_rangemap_find(&scope->smarthosts, reply ? &obs->source : &obs->destination))
            return false;
        claim.group = enf_group_find(&scope->groups, host);
        if (!claim.group)
            return false;
        claim.settings = enf_group_detector(&scope->groups, claim.group, host);
        obs->blocked = !reply && enf_group_policy(claim.group, host) == ENF_POLICY_BLOCK &&
                       scope->config->mode == ENF_MODE_ENFORCE;
        forgeable = reply || scope->config->antispoof != ENF_ANTISPOOF_STRICT;
    }
    obs->subscriber = enf_group_subscriber(claim.group, host);
    obs->forgeable = forgeable;
    *out = claim;
    return true;
}
