/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small pieces of HTML that is XML too. */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* Text that strangers chose, such as the name of a file: nothing in it is markup, and what is no UTF-8 or no
 * printable character becomes a replacement character. For content and for quoted attributes. */
void html_text(const char *text, FILE *to);
/* 12,345 */
void html_count(uint64_t count, FILE *to);
/* "12,345 connections" */
void html_counted(uint64_t count, const char *singular, const char *plural, FILE *to);

enum html_time {
    HTML_TIME_FULL,    /* 2022-02-08 16:34:02.421 UTC */
    HTML_TIME_SECONDS, /* 2022-02-08 16:34:02 */
    HTML_TIME_CLOCK,   /* 16:34:02.421 */
    HTML_TIME_SHORT,   /* 16:34:02 */
    HTML_TIME_DAY,     /* 02-08 16:34 */
};
void html_time(uint64_t time_ms, enum html_time form, FILE *to);
