/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of text into values. */
#include "flow_text.h"

#include "enforcer/core/text.h"
#include "enforcer/inspect/packet.h"

#include <string.h>
#include <strings.h>

/* Larger numbers of seconds would be after the year 5000: they are milliseconds. */
#define SECONDS_MAX 100000000000ULL
#define TIME_MS_MAX 253402300799999ULL

struct text text_trim(struct text text)
{
    while (text.len > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '"')) {
        text.bytes++;
        text.len--;
    }
    while (text.len > 0 && strchr(" \"\r", text.bytes[text.len - 1]) && text.bytes[text.len - 1] != '\0')
        text.len--;
    return text;
}

bool text_is(struct text text, const char *word)
{
    return strlen(word) == text.len && (text.len == 0 || strncasecmp(text.bytes, word, text.len) == 0);
}

bool text_starts(struct text text, const char *word)
{
    size_t len = strlen(word);
    return text.len >= len && memcmp(text.bytes, word, len) == 0;
}

/* Digits at the front, taken off; false where there are none or the value gets too large. */
static bool take_digits(struct text *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < text->len && text->bytes[i] >= '0' && text->bytes[i] <= '9'; i++) {
        unsigned digit = (unsigned)(text->bytes[i] - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (i == 0)
        return false;
    text->bytes += i;
    text->len -= i;
    *out = value;
    return true;
}

bool text_number(struct text text, uint64_t max, uint64_t *out)
{
    uint64_t value;
    if (!take_digits(&text, max, &value) || text.len > 0)
        return false;
    *out = value;
    return true;
}

bool text_addr(struct text text, struct enf_addr *out)
{
    char copy[ENF_PREFIX_STR_LEN];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.bytes, '\0', text.len))
        return false;
    memcpy(copy, text.bytes, text.len);
    copy[text.len] = '\0';
    return enf_addr_parse(copy, out) == 0;
}

static bool take(struct text *text, const char *any)
{
    if (text->len == 0 || text->bytes[0] == '\0' || !strchr(any, text->bytes[0]))
        return false;
    text->bytes++;
    text->len--;
    return true;
}

/* ".475501" into milliseconds, cut; nothing there is zero. */
static bool take_fraction(struct text *text, uint64_t *out_ms)
{
    uint64_t scale = 100;
    size_t digits = 0;
    *out_ms = 0;
    if (!take(text, ".,"))
        return true;
    for (; text->len > 0 && text->bytes[0] >= '0' && text->bytes[0] <= '9'; digits++) {
        *out_ms += scale * (unsigned)(text->bytes[0] - '0');
        scale /= 10;
        text->bytes++;
        text->len--;
    }
    return digits > 0;
}

/* "Z", "+0200", "-05:00", "+02" or nothing. */
static bool take_offset(struct text *text, int64_t *out_ms)
{
    *out_ms = 0;
    if (text->len == 0)
        return true;
    if (take(text, "Zz"))
        return text->len == 0;
    bool west = text->bytes[0] == '-';
    uint64_t hours;
    uint64_t minutes = 0;
    if (!take(text, "+-") || text->len < 2 || !text_number((struct text){text->bytes, 2}, 23, &hours))
        return false;
    struct text rest = {text->bytes + 2, text->len - 2};
    if (rest.len > 0) {
        take(&rest, ":");
        if (rest.len != 2 || !text_number(rest, 59, &minutes))
            return false;
    }
    int64_t ms = (int64_t)(hours * 60 + minutes) * 60000;
    *out_ms = west ? -ms : ms;
    return true;
}

static bool calendar_time(struct text text, uint64_t *out_ms)
{
    char copy[] = "2022-02-08T11:36:28Z";
    const size_t len = sizeof(copy) - 2; /* without the Z */
    struct text rest = {text.bytes + len, text.len - len};
    uint64_t seconds_ms;
    uint64_t fraction_ms;
    int64_t offset_ms;
    memcpy(copy, text.bytes, len);
    if (copy[10] == ' ')
        copy[10] = 'T';
    if (memchr(copy, '\0', len) || enf_time_parse(copy, &seconds_ms) != 0 ||
        !take_fraction(&rest, &fraction_ms) || !take_offset(&rest, &offset_ms))
        return false;
    int64_t ms = (int64_t)(seconds_ms + fraction_ms) - offset_ms;
    if (ms < 0)
        return false;
    *out_ms = (uint64_t)ms;
    return true;
}

bool text_time(struct text text, uint64_t *out_ms)
{
    uint64_t number;
    uint64_t fraction_ms;
    if (text.len >= 19 && text.bytes[4] == '-')
        return calendar_time(text, out_ms);
    if (!take_digits(&text, TIME_MS_MAX, &number) || !take_fraction(&text, &fraction_ms) || text.len > 0)
        return false;
    *out_ms = number >= SECONDS_MAX ? number : number * 1000 + fraction_ms;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_flags(struct text digits, uint8_t *out)
{
    unsigned value = 0;
    if (digits.len == 0 || digits.len > 4)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = hex_digit(digits.bytes[i]);
        if (digit < 0)
            return false;
        value = value * 16 + (unsigned)digit;
    }
    *out = (uint8_t)value;
    return true;
}

bool text_flags(struct text text, uint8_t *out)
{
    static const char letters[] = "FSRPAU"; /* from the lowest bit on */
    static const char ignored[] = ".ECWNX"; /* nfdump writes the flags of ECN too; a dot is none */
    uint8_t flags = 0;
    uint64_t number;
    if (text_starts(text, "0x"))
        return hex_flags((struct text){text.bytes + 2, text.len - 2}, out);
    if (text_number(text, UINT16_MAX, &number)) {
        *out = (uint8_t)number;
        return true;
    }
    if (text.len == 0 || memchr(text.bytes, '\0', text.len))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *letter = strchr(letters, text.bytes[i]);
        if (letter)
            flags |= (uint8_t)(1u << (letter - letters));
        else if (!strchr(ignored, text.bytes[i]))
            return false;
    }
    *out = flags;
    return true;
}

/* FNV-1a: nothing hangs on it but that two records of one port pair differ, and which belong together. */
static uint64_t hash_text(uint64_t hash, struct text text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.bytes[i]) * 1099511628211ULL;
    return hash;
}

static uint32_t record_hash(uint64_t start_ms, struct text id)
{
    uint64_t hash = 14695981039346656037ULL;
    for (unsigned i = 0; i < 64; i += 8)
        hash = (hash ^ (start_ms >> i & 0xff)) * 1099511628211ULL;
    hash = hash_text(hash, id);
    return (uint32_t)(hash >> 32 ^ hash) | 1;
}

static uint64_t identifier_hash(struct text id)
{
    return id.len > 0 ? hash_text(14695981039346656037ULL, id) | 1 : 0;
}

enum flow_result facts_judge(const struct facts *facts, struct flow *out)
{
    const struct text *fields = facts->fields;
    struct flow flow = {.outcome = facts->outcome};
    uint64_t source_port;
    uint64_t destination_port;
    if (!text_is(fields[FLOW_FIELD_PROTOCOL], "tcp") && !text_is(fields[FLOW_FIELD_PROTOCOL], "6"))
        return fields[FLOW_FIELD_PROTOCOL].len > 0 ? FLOW_OTHER : FLOW_BAD;
    if (!text_number(fields[FLOW_FIELD_SOURCE_PORT], UINT16_MAX, &source_port) ||
        !text_number(fields[FLOW_FIELD_DESTINATION_PORT], UINT16_MAX, &destination_port))
        return FLOW_BAD;
    if (source_port != ENF_SMTP_PORT && destination_port != ENF_SMTP_PORT)
        return FLOW_OTHER;
    if (!text_addr(fields[FLOW_FIELD_SOURCE], &flow.source) ||
        !text_addr(fields[FLOW_FIELD_DESTINATION], &flow.destination) ||
        flow.source.family != flow.destination.family || !text_time(fields[FLOW_FIELD_TIME], &flow.start_ms))
        return FLOW_BAD;
    flow.session = identifier_hash(fields[FLOW_FIELD_ID]);
    if (destination_port != ENF_SMTP_PORT || facts->syn == SYN_NOT_SEEN) {
        out->session = flow.session;
        return FLOW_SMTP;
    }
    flow.source_port = (uint16_t)source_port;
    flow.destination_port = (uint16_t)destination_port;
    bool answered = flow.outcome == FLOW_OUTCOME_ANSWERED || flow.outcome == FLOW_OUTCOME_REFUSED;
    if (facts->syn == SYN_SEEN && answered)
        flow.sequence = record_hash(flow.start_ms, fields[FLOW_FIELD_ID]);
    *out = flow;
    return FLOW_CONNECTION;
}
