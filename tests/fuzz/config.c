/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a configuration and as a file of prefixes: what is accepted keeps the promises that the rooms
 * below rely on, what is refused is explained in lines fit to print. */
#include "enforcer/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

/* "F:LINE: …" in the order of lines, printable but for the bytes of the messages' own quotes. */
static void check_errors(const struct enf_config_errors *errors)
{
    unsigned long before = 1;

    expect(errors->len > 0 && errors->len <= ENF_CONFIG_ERRORS_MAX + 1);
    for (size_t i = 0; i < errors->len; i++) {
        const char *text = errors->lines[i];
        char *end;
        unsigned long line;

        expect(strncmp(text, "F:", 2) == 0);
        line = strtoul(text + 2, &end, 10);
        expect(line >= before && strncmp(end, ": ", 2) == 0);
        before = line;
        for (; *text != '\0'; text++)
            expect(*text >= 0x20 && *text < 0x7f);
    }
}

static void check_prefixes(const struct enf_prefix *prefixes, size_t len)
{
    expect(len == 0 || prefixes != NULL);
    for (size_t i = 0; i < len; i++) {
        struct enf_prefix again = enf_prefix_make(&prefixes[i].addr, prefixes[i].len);

        expect(prefixes[i].addr.family == ENF_FAMILY_V4 || prefixes[i].addr.family == ENF_FAMILY_V6);
        expect(enf_prefix_equal(&prefixes[i], &again));
    }
}

static void check_detector(const struct enf_config *config, const struct enf_detector_settings *settings)
{
    expect(settings->connection_rate_len <= ENF_WINDOWS_MAX);
    for (size_t i = 0; i < settings->connection_rate_len; i++) {
        const struct enf_window *window = &settings->connection_rate[i];

        expect(window->connections >= 1 && window->connections <= ENF_WINDOW_CONNECTIONS_MAX);
        expect(window->per_ms >= 1000 && window->per_ms <= ENF_WINDOW_PER_MAX);
    }
    expect(settings->distinct_destinations.count == 0 || settings->distinct_destinations.per_ms >= 1000);
    for (size_t i = 0; i < settings->traps_len; i++) {
        const struct enf_addr *trap = &settings->traps[i];

        expect(trap >= config->traps && trap < config->traps + config->traps_len);
        expect(trap->family != ENF_FAMILY_NONE);
    }
}

static void check_groups(const struct enf_config *config)
{
    struct enf_group_index index;

    expect(config->groups_len <= ENF_GROUPS_MAX);
    for (size_t i = 0; i < config->groups_len; i++) {
        const struct enf_group *group = &config->groups[i];

        expect(group->name[0] >= 'a' && group->name[0] <= 'z' && group->prefixes_len > 0);
        check_prefixes(group->prefixes, group->prefixes_len);
        check_detector(config, &group->detector);
        for (size_t j = 0; j < group->overrides_len; j++) {
            check_prefixes(&group->overrides[j].prefix, 1);
            check_detector(config, &group->overrides[j].detector);
        }
    }
    if (enf_group_index_build(config->groups, config->groups_len, &index) == 0) {
        for (size_t i = 0; i < config->groups_len; i++)
            expect(enf_group_find(&index, &config->groups[i].prefixes[0].addr) != NULL);
        enf_group_index_clear(&index);
    }
}

static void check_config(const struct enf_config *config)
{
    check_groups(config);
    for (size_t i = 0; i < config->relays_len; i++)
        check_prefixes(config->relays[i].addresses, config->relays[i].addresses_len);
    for (size_t i = 0; i < config->smarthosts_len; i++)
        check_prefixes(config->smarthosts[i].addresses, config->smarthosts[i].addresses_len);
    check_prefixes(config->quarantine.never.items, config->quarantine.never.len);
    expect(config->quarantine.duration_ms >= 1000 && config->quarantine.escalation_len <= ENF_ESCALATION_MAX);
    for (size_t i = 0; i < config->quarantine.escalation_len; i++)
        expect(config->quarantine.escalation[i].duration_ms >= 1000);
    expect(config->antispoof == ENF_ANTISPOOF_OFF || config->interfaces.subscriber_len > 0);
    expect(config->control.socket[0] == '/' && strlen(config->control.socket) <= ENF_SOCKET_PATH_MAX);
    expect(config->state[0] == '/' && config->queue.count == 1 && config->max_subscribers > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct enf_config *config = NULL;
    struct enf_prefix_list list = {0};
    struct enf_config_errors errors;
    int ret = enf_config_parse("F", (const char *)data, size, &config, &errors);

    expect(ret == 0 || (ret == -EINVAL && config == NULL));
    if (ret == 0)
        check_config(config);
    else
        check_errors(&errors);
    enf_config_free(&config);
    enf_config_errors_clear(&errors);

    ret = enf_config_parse_prefixes("F", (const char *)data, size, &list, &errors);
    expect(ret == 0 || (ret == -EINVAL && list.items == NULL));
    if (ret == 0)
        check_prefixes(list.items, list.len);
    else
        check_errors(&errors);
    enf_prefix_list_clear(&list);
    enf_config_errors_clear(&errors);
    return 0;
}
