/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of hosts and mail paths, as forgiving as mail servers are. Nothing is kept but hashes. */
#include "enforcer/core/addr.h"
#include "enforcer/inspect/smtp_private.h"

#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NAME_MAX_LEN  255
#define LABEL_MAX_LEN 63
#define ADDR_TEXT_MAX 64

static bool is_address(const char *text, size_t len)
{
    char copy[ADDR_TEXT_MAX];
    struct enf_addr addr;
    if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return enf_addr_parse(copy, &addr) == 0;
}

static bool is_literal(const char *name, size_t len)
{
    static const char tag[] = "IPv6:";
    const size_t tag_len = sizeof(tag) - 1;
    if (len < 3 || name[0] != '[' || name[len - 1] != ']')
        return false;
    name++;
    len -= 2;
    if (len > tag_len && strncasecmp(name, tag, tag_len) == 0)
        return memchr(name + tag_len, ':', len - tag_len) && is_address(name + tag_len, len - tag_len);
    return !memchr(name, ':', len) && is_address(name, len);
}

static bool is_letter_or_digit(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters, digits and hyphens inside; underscores too, which many a Windows host has, and UTF-8 (RFC 6531).
 */
static bool is_label(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX_LEN || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)label[i];
        if (!is_letter_or_digit(c) && c != '-' && c != '_' && c < 0x80)
            return false;
    }
    return true;
}

enum enf_helo_form enf_name_helo_form(const char *name, size_t len)
{
    if (len == 0)
        return ENF_HELO_EMPTY;
    if (is_literal(name, len))
        return ENF_HELO_LITERAL;
    if (is_address(name, len))
        return ENF_HELO_BARE_ADDRESS;
    if (name[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_MAX_LEN)
        return ENF_HELO_GARBAGE;
    unsigned labels = 0;
    for (size_t start = 0; start <= len; labels++) {
        const char *dot = memchr(name + start, '.', len - start);
        size_t end = dot ? (size_t)(dot - name) : len;
        if (!is_label(name + start, end - start))
            return ENF_HELO_GARBAGE;
        start = end + 1;
    }
    return labels > 1 ? ENF_HELO_FQDN : ENF_HELO_BARE_NAME;
}

uint64_t enf_name_hash(const char *name, size_t len, uint64_t seed)
{
    char folded[ENF_SMTP_LINE_MAX];
    if (len > sizeof(folded))
        len = sizeof(folded);
    if (len && name[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++)
        folded[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    uint64_t hash = XXH3_64bits_withSeed(folded, len, seed);
    explicit_bzero(folded, sizeof(folded));
    return hash ? hash : 1;
}

/* Where the path in text ends: before the '>' that closes it, or before a blank where it has no brackets; a
 * quoted local part may hold either. False where a bracket or a quote is not closed. */
static bool find_end(const char *text, size_t len, bool brackets, size_t *out)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (brackets ? text[i] == '>' : text[i] == ' ' || text[i] == '\t'))
            break;
    }
    if (quoted || (brackets && i >= len))
        return false;
    *out = i < len ? i : len;
    return true;
}

struct enf_path enf_name_path(const char *text, size_t len)
{
    struct enf_path path = {.valid = false};
    size_t start = 0;
    while (start < len && (text[start] == ' ' || text[start] == '\t'))
        start++;
    bool brackets = start < len && text[start] == '<';
    start += brackets ? 1 : 0;
    size_t path_len;
    if (!find_end(text + start, len - start, brackets, &path_len))
        return path;
    path.end = start + path_len + (brackets ? 1 : 0);
    path.null = path_len == 0 && brackets;
    path.valid = path_len > 0 || brackets;
    /* The last @ is the one: a source route and a quoted local part hold others before it. */
    const char *at = path_len ? memrchr(text + start, '@', path_len) : NULL;
    if (at) {
        path.domain = at + 1;
        path.domain_len = (size_t)(text + start + path_len - path.domain);
    }
    return path;
}
