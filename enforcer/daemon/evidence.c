/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evidence as JSON. */
#include "enforcer/daemon/evidence.h"

#include "enforcer/core/text.h"

json_t *enf_evidence_json(const struct enf_evidence *evidence, size_t len)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < len; i++) {
        char time[ENF_TIME_STR_LEN], destination[ENF_PREFIX_STR_LEN];
        json_t *item =
            json_pack("{s:s, s:s, s:s, s:i, s:b, s:b, s:f, s:f, s:f, s:s}", "time",
                      enf_time_str(evidence[i].time_ms, time, sizeof time), "kind",
                      enf_evidence_kind_name(evidence[i].kind), "destination",
                      enf_addr_str(&evidence[i].destination, destination, sizeof destination), "port",
                      (int)evidence[i].destination_port, "blocked", (int)evidence[i].blocked, "forgeable",
                      (int)evidence[i].forgeable, "step", evidence[i].step, "score", evidence[i].score,
                      "threshold", evidence[i].threshold, "setting", evidence[i].setting);
        if (item && evidence[i].value)
            json_object_set_new(item, "value", json_integer(evidence[i].value));
        if (!item || json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

char *enf_evidence_text(const struct enf_evidence *evidence, size_t len, uint64_t total)
{
    json_t *list = enf_evidence_json(evidence, len);
    json_t *object =
        list ? json_pack("{s:o, s:I}", "evidence", list, "evidence_total", (json_int_t)total) : NULL;
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}
