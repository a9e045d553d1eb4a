/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong between values that are right each for itself: names, interfaces, where relays are,
 * antispoof. What concerns prefixes among each other is in overlap.c. Values that were refused before are
 * zero here and skipped. */
#include "enforcer/config/draft.h"
#include "enforcer/config/overlap.h"
#include "enforcer/config/sinks.h"
#include "enforcer/config/traps.h"

#include <stdio.h>
#include <string.h>

/* True where one interface can match both. */
static bool interfaces_meet(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    bool a_any = a_len > 0 && a[a_len - 1] == '*';
    bool b_any = b_len > 0 && b[b_len - 1] == '*';

    if (a_len == 0 || b_len == 0)
        return false;
    if (!a_any && !b_any)
        return strcmp(a, b) == 0;
    if (a_any && b_any)
        return strncmp(a, b, (a_len < b_len ? a_len : b_len) - 1) == 0;
    return a_any ? strncmp(a, b, a_len - 1) == 0 : strncmp(a, b, b_len - 1) == 0;
}

/* Compares the entry with those before it in another list, or in its own. */
static void check_interface(struct enf_reader *reader, const char *list, size_t index, const char *name,
                            const char *other_list, const struct enf_interface *others, size_t others_len)
{
    for (size_t i = 0; i < others_len; i++) {
        char path[64];

        if (!interfaces_meet(name, others[i].name))
            continue;
        snprintf(path, sizeof(path), "interfaces.%s[%zu]", list, index);
        enf_reader_error_at(reader, path,
                            "expected each interface once, found %s, which meets %s of interfaces.%s[%zu]",
                            name, others[i].name, other_list, i);
        return;
    }
}

static void check_interfaces(struct enf_reader *reader, const struct enf_config *config)
{
    const struct enf_interface *subscriber = config->interfaces.subscriber;
    const struct enf_interface *upstream = config->interfaces.upstream;

    for (size_t i = 0; i < config->interfaces.subscriber_len; i++)
        check_interface(reader, "subscriber", i, subscriber[i].name, "subscriber", subscriber, i);
    for (size_t i = 0; i < config->interfaces.upstream_len; i++) {
        check_interface(reader, "upstream", i, upstream[i].name, "upstream", upstream, i);
        check_interface(reader, "upstream", i, upstream[i].name, "subscriber", subscriber,
                        config->interfaces.subscriber_len);
    }
}

static void check_antispoof(struct enf_reader *reader, const struct enf_config *config)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);

    if (enf_document_get(reader->document, root, "antispoof") == NULL ||
        config->antispoof == ENF_ANTISPOOF_OFF || config->interfaces.subscriber_len > 0)
        return;
    enf_reader_error_at(reader, "antispoof",
                        "expected off, or interfaces.subscriber to be given, found %s without it",
                        config->antispoof == ENF_ANTISPOOF_STRICT ? "strict" : "groups");
}

static void check_queue(struct enf_reader *reader, const struct enf_config *config)
{
    if (config->queue.count > 0 && config->queue.first > UINT16_MAX - (config->queue.count - 1))
        enf_reader_error_at(reader, "queue.first",
                            "expected queue.first and the %u queues behind it to be at most 65535, found %u",
                            (unsigned)config->queue.count - 1, (unsigned)config->queue.first);
}

/* As it stands in names of nft. */
static void nft_name(const char *name, char out[ENF_NAME_LEN])
{
    size_t i = 0;

    for (; name[i] != '\0' && i + 1 < ENF_NAME_LEN; i++)
        out[i] = name[i] == '-' ? '_' : name[i];
    out[i] = '\0';
}

static void check_group_name(struct enf_reader *reader, const struct enf_group *groups, size_t index)
{
    char name[ENF_NAME_LEN];
    char other[ENF_NAME_LEN];
    char path[64];

    nft_name(groups[index].name, name);
    snprintf(path, sizeof(path), "groups[%zu].name", index);
    for (size_t i = 0; i < index && name[0] != '\0'; i++) {
        nft_name(groups[i].name, other);
        if (strcmp(name, other) != 0)
            continue;
        if (strcmp(groups[index].name, groups[i].name) == 0)
            enf_reader_error_at(reader, path,
                                "expected a name of its own, found %s, which is also groups[%zu].name",
                                groups[index].name, i);
        else
            enf_reader_error_at(
                reader, path,
                "expected a name that differs in more than - and _, found %s beside %s of groups[%zu]",
                groups[index].name, groups[i].name, i);
        return;
    }
}

static bool has_host(const struct enf_prefix_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        if (enf_prefix_is_host(&list->items[i]))
            return true;
    return false;
}

/* A redirect needs somewhere to lead to. */
static void check_redirect(struct enf_reader *reader, const struct enf_config *config)
{
    if (config->quarantine.redirect == ENF_REDIRECT_DNAT && !has_host(&config->quarantine.portal))
        enf_reader_error_at(reader, "quarantine.redirect",
                            "expected none, or an address (no prefix) in quarantine.portal to redirect to, "
                            "found dnat without one");
    if (config->quarantine.redirect == ENF_REDIRECT_TPROXY && config->quarantine.tproxy.port == 0)
        enf_reader_error_at(
            reader, "quarantine.redirect",
            "expected none or dnat, or quarantine.tproxy to be given, found tproxy without it");
}

void enf_draft_check(struct enf_reader *reader, struct enf_draft *draft)
{
    const struct enf_config *config = &draft->config;

    check_interfaces(reader, config);
    check_antispoof(reader, config);
    check_queue(reader, config);
    check_redirect(reader, config);
    for (size_t i = 0; i < config->groups_len; i++)
        check_group_name(reader, config->groups, i);
    enf_sinks_check(reader, config);
    enf_hooks_check(reader, config);
    enf_overlap_check(reader, config);
    enf_overrides_check(reader, draft);
    enf_traps_check(reader, draft);
}
