/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of strangers inside of lines of our own. Private to sinks/. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Prints text (at most max bytes of it) with a backslash before each byte of special. Control characters
 * become blanks, of text that is no UTF-8 the odd bytes become '?': the result is one line, always. */
void enf_escape_put(FILE *to, const char *text, size_t max, const char *special);
