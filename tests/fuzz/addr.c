/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes what people write: addresses, prefixes, durations, times. What is read and printed reads back the
 * same. */
#include "enforcer/core/addr.h"
#include "enforcer/core/rangemap.h"
#include "enforcer/core/text.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void try_prefix(const char *text)
{
    char printed[ENF_PREFIX_STR_LEN];
    struct enf_prefix prefix, again;
    struct enf_addr addr;
    struct enf_prefix out[256];

    if (enf_addr_parse(text, &addr) == 0) {
        enf_addr_str(&addr, printed, sizeof printed);
        struct enf_addr back;
        require(enf_addr_parse(printed, &back) == 0 && enf_addr_equal(&addr, &back));
    }
    if (enf_prefix_parse(text, &prefix) < 0)
        return;
    enf_prefix_str(&prefix, printed, sizeof printed);
    require(enf_prefix_parse(printed, &again) == 0 && enf_prefix_equal(&prefix, &again));
    again = enf_prefix_make(&prefix.addr, prefix.len);
    require(enf_prefix_equal(&prefix, &again)); /* no bit beyond its length */
    struct enf_range range = enf_prefix_range(&prefix);
    require(enf_range_prefixes(&range, out, 256) == 1 && enf_prefix_equal(&out[0], &prefix));
}

static void try_duration(const char *text)
{
    char printed[ENF_TIME_STR_LEN];
    uint64_t ms, again;

    if (enf_duration_parse(text, &ms) < 0)
        return;
    require(ms > 0 && ms <= ENF_DURATION_MAX);
    enf_duration_str(ms, printed, sizeof printed);
    require(enf_duration_parse(printed, &again) == 0 && again == ms);
    require(strlen(printed) <= strlen(text));
}

static void try_time(const char *text)
{
    char printed[ENF_TIME_STR_LEN];
    uint64_t ms, again;

    if (enf_time_parse(text, &ms) < 0)
        return;
    enf_time_str(ms, printed, sizeof printed);
    require(enf_time_parse(printed, &again) == 0 && again == ms);
}

/* Any number is printed, and what is printed of a year with four digits reads back. */
static void try_number(const uint8_t *data, size_t size)
{
    char printed[ENF_TIME_STR_LEN];
    uint64_t ms = 0, again;

    memcpy(&ms, data, size < sizeof ms ? size : sizeof ms);
    enf_duration_str(ms, printed, sizeof printed);
    require(strlen(printed) < sizeof printed);
    enf_time_str(ms, printed, sizeof printed);
    if (enf_time_parse(printed, &again) == 0)
        require(again == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX], copy[16];

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_prefix(text);
    try_duration(text);
    try_time(text);
    try_number(data, size);
    enf_text_copy(copy, size % (sizeof copy + 1), text);
    return 0;
}
