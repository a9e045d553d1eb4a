/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the text of a configuration to its values, in three steps: YAML, each value, values together. */
#include "enforcer/config/config.h"

#include "enforcer/config/document.h"
#include "enforcer/config/options.h"

#include <errno.h>
#include <stdlib.h>

static void read_document(struct enf_reader *reader, struct enf_draft *draft)
{
    enf_options_defaults(reader, draft);
    enf_options_read(reader, draft);
    enf_groups_finish(reader, draft);
    /* With a full list the file is so wrong that more would help nobody. */
    if (reader->errors->len < ENF_CONFIG_ERRORS_MAX && !reader->errors->oom)
        enf_draft_check(reader, draft);
}

int enf_config_parse(const char *file_name, const char *text, size_t len, struct enf_config **out,
                     struct enf_config_errors *errors)
{
    struct enf_error_list list;
    struct enf_draft draft = {0};
    struct enf_config *config = calloc(1, sizeof(*config));
    yaml_document_t document;
    struct enf_reader reader = {.document = &document, .errors = &list};
    int ret;

    *errors = (struct enf_config_errors){0};
    if (config == NULL)
        return -ENOMEM;
    enf_error_list_init(&list, file_name);
    ret = enf_document_load(&list, text, len, &document);
    if (ret == 0) {
        read_document(&reader, &draft);
        yaml_document_delete(&document);
    } else if (ret == -ENOMEM) {
        list.oom = true;
    }
    enf_arena_free(&reader.temp);
    ret = enf_error_list_finish(&list, errors);
    if (ret < 0) {
        enf_arena_free(&reader.keep);
        free(config);
        return ret;
    }
    *config = draft.config;
    config->owned = reader.keep;
    *out = config;
    return 0;
}

void enf_config_free(struct enf_config **config)
{
    struct enf_block *owned;

    if (config == NULL || *config == NULL)
        return;
    owned = (*config)->owned;
    enf_arena_free(&owned);
    free(*config);
    *config = NULL;
}
