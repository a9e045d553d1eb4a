/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A terminal that is painted whole, line by line, and gives single keys. */
#pragma once

#include <stdbool.h>

enum screen_key {                  /* beside characters */
                  SCREEN_NONE = 0, /* nothing within the time, or another size */
                  SCREEN_UP = 256,
                  SCREEN_DOWN,
                  SCREEN_PAGE_UP,
                  SCREEN_PAGE_DOWN,
                  SCREEN_ENTER,
                  SCREEN_END, /* the terminal is gone, or a signal wants the end */
};

enum screen_style { SCREEN_PLAIN, SCREEN_BOLD, SCREEN_REVERSE, SCREEN_RED, SCREEN_YELLOW };

/* Takes the terminal over; screen_close gives it back, whatever happened in between. 0 or -errno. */
int screen_open(void);
void screen_close(void);

/* Lines and columns now. */
void screen_size(int *rows, int *columns);

/* A picture: begin, one call a line from the top, end. A line is cut at the last column; what is no printable
 * ASCII must not be in it. Lines that are not given are blank. */
void screen_begin(void);
void screen_line(enum screen_style style, const char *format, ...) __attribute__((format(printf, 2, 3)));
void screen_fill(int row); /* blank lines up to this one, counted from 0 */
void screen_end(void);

/* Waits so long for a key: a character or an enum screen_key. */
int screen_key(int timeout_ms);
