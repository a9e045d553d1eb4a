/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds a detector with connections in one line each. */
#pragma once

#include "enforcer/detect/detector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND 1000ULL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  (20000 * DAY) /* some day in 2024 */

static inline struct enf_addr v4(uint32_t host_order)
{
    uint8_t bytes[4] = {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16), (uint8_t)(host_order >> 8),
                        (uint8_t)host_order};
    return enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
}

static inline struct enf_addr address(const char *text)
{
    struct enf_addr addr;
    assert_int_equal(enf_addr_parse(text, &addr), 0);
    return addr;
}

static inline struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;
    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

static inline struct enf_detector *new_detector(size_t max_subscribers)
{
    struct enf_detector_params params = {.max_subscribers = max_subscribers, .seed = 0x5eed};
    struct enf_detector *det = NULL;
    assert_int_equal(enf_detector_new(&params, &det), 0);
    return det;
}

/* A connection that is like no other one: ports and sequence number from a counter of the caller. */
static inline struct enf_observation observation(struct enf_addr source, struct enf_addr destination,
                                                 uint64_t time_ms, uint32_t serial)
{
    return (struct enf_observation){
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = time_ms,
        .subscriber = enf_prefix_make(&source, 64),
        .source = source,
        .destination = destination,
        .source_port = (uint16_t)(1024 + serial % 60000),
        .destination_port = 25,
        .sequence = serial * 2654435761U,
        .blocked = true,
    };
}
