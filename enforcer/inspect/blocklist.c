/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refusals that say the sender's address is on a blocklist. A table of words: servers agree on no code for
 * it. */
#include "enforcer/inspect/smtp_private.h"

#include <string.h>
#include <strings.h>

/* Codes that servers use for a refusal by policy; 5.7.x (RFC 3463: security or policy) counts with any 5yz.
 */
static const uint16_t codes[] = {
    521, /* RFC 7504: does not accept mail, also used at the greeting against listed clients */
    550, /* RFC 5321: rejected for policy reasons */
    553, /* qmail's rblsmtpd and its heirs */
    554, /* no SMTP service for you, the usual one at the greeting and at RCPT */
    571, /* 5.7.1 in three digits */
};

struct word {
    const char *text; /* lower case */
    bool whole;       /* only as a word of its own: too short to be looked for inside others */
};

static const struct word words[] = {
    {"blacklist", false},       /* blacklisted, blacklists */
    {"black list", false},      /**/
    {"blocklist", false},       /* Microsoft: "on our block list" has two words, others write one */
    {"block list", false},      /**/
    {"denylist", false},        /**/
    {"blocked", true},          /* "blocked using", "has been blocked": Postfix, Sophos, AT&T */
    {"dnsbl", false},           /* the lists as a kind */
    {"rbl", true},              /* short, and inside "verbly" and the like */
    {"rbldns", false},          /**/
    {"spamhaus", false},        /* names of lists, which stand in the text or its link */
    {"spamcop", false},         /**/
    {"barracuda", false},       /* barracudacentral.org */
    {"sorbs", true},            /**/
    {"uceprotect", false},      /**/
    {"psbl", true},             /**/
    {"abuseat", false},         /* cbl.abuseat.org */
    {"proofpoint", false},      /* its reputation service says "see https://ipcheck.proofpoint.com" */
    {"senderscore", false},     /**/
    {"invaluement", false},     /**/
    {"mailspike", false},       /**/
    {"poor reputation", false}, /* Cisco, Trend Micro: a list under another name */
    {"bad reputation", false},  /* GMX, web.de */
    {"listed in", false},       /* "is listed in", "listed at": lists that are not named above */
    {"listed at", false},       /**/
    {"listed by", false},       /**/
    {"dynamic ip", false},      /* lists of end users' lines, as those of dul or pbl */
};

static bool code_fits(uint16_t code, const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i] == code)
            return true;
    return len > 8 && strncmp(text + 4, "5.7.", 4) == 0;
}

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool contains(const char *text, size_t len, const struct word *word)
{
    size_t word_len = strlen(word->text);
    for (size_t i = 0; i + word_len <= len; i++) {
        if (strncasecmp(text + i, word->text, word_len) != 0)
            continue;
        bool before = i > 0 && is_word_byte(text[i - 1]);
        bool after = i + word_len < len && is_word_byte(text[i + word_len]);
        if (!word->whole || (!before && !after))
            return true;
    }
    return false;
}

uint8_t enf_blocklist_look(uint16_t code, const char *line, size_t len)
{
    uint8_t seen = 0;
    if (code < 500 || code > 599)
        return 0;
    if (code_fits(code, line, len))
        seen |= ENF_BLOCKLIST_POLICY;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (contains(line, len, &words[i]))
            return seen | ENF_BLOCKLIST_WORD;
    return seen;
}
