/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of strangers inside of lines of our own. */
#include "enforcer/sinks/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at text, of at most len; 0: that is no UTF-8 (RFC 3629). */
static size_t character(const unsigned char *text, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = text[0] < 0x80   ? 1
               : text[0] < 0xc2 ? 0
               : text[0] < 0xe0 ? 2
               : text[0] < 0xf0 ? 3
               : text[0] < 0xf5 ? 4
                                : 0;
    uint32_t value = n < 2 ? text[0] : text[0] & (0x7fu >> n);

    if (n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    if (n >= 2 && (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)))
        return 0;
    return n;
}

void enf_escape_put(FILE *to, const char *text, size_t max, const char *special)
{
    size_t len = strnlen(text, max);

    for (size_t i = 0; i < len;) {
        size_t n = character((const unsigned char *)text + i, len - i);

        if (n > 1) {
            fwrite(text + i, 1, n, to);
        } else if (n == 0) {
            fputc('?', to);
            n = 1;
        } else if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            fputc(' ', to);
        } else {
            if (strchr(special, text[i]))
                fputc('\\', to);
            fputc(text[i], to);
        }
        i += n;
    }
}
