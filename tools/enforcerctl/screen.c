/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain repaint with the sequences that every terminal of today knows (ECMA-48; the other screen of xterm).
 */
#include "tools/enforcerctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_LEN 512

static struct termios before;
static bool taken;
static volatile sig_atomic_t ended;
static int row, rows_now, columns_now;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

/* Only there so that poll returns. */
static void on_resize(int number)
{
    (void)number;
}

int screen_open(void)
{
    struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};

    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -errno;
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_iflag &= ~(tcflag_t)(IXON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return -errno;
    taken = true;
    fputs("\033[?1049h\033[?25l", stdout);
    return 0;
}

void screen_close(void)
{
    if (!taken)
        return;
    taken = false;
    fputs("\033[0m\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void screen_size(int *rows, int *columns)
{
    struct winsize size;

    *rows = 24;
    *columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        *rows = size.ws_row;
        *columns = size.ws_col < LINE_MAX_LEN ? size.ws_col : LINE_MAX_LEN - 1;
    }
}

void screen_begin(void)
{
    screen_size(&rows_now, &columns_now);
    row = 0;
    fputs("\033[H", stdout);
}

void screen_line(enum screen_style style, const char *format, ...)
{
    static const char *const codes[] = {"", "\033[1m", "\033[7m", "\033[31m", "\033[33m"};
    char text[LINE_MAX_LEN];
    va_list args;

    if (row >= rows_now)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text[strcspn(text, "\n")] = '\0';
    printf("%s%s%.*s\033[0m\033[K", row > 0 ? "\r\n" : "", codes[style], columns_now, text);
    row++;
}

void screen_fill(int until)
{
    while (row < until && row < rows_now)
        screen_line(SCREEN_PLAIN, "%s", "");
}

void screen_end(void)
{
    fputs("\033[J", stdout);
    fflush(stdout);
}

static bool waits(int timeout_ms)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&fd, 1, timeout_ms) > 0;
}

int screen_key(int timeout_ms)
{
    unsigned char c[4];

    if (ended)
        return SCREEN_END;
    if (!waits(timeout_ms))
        return ended ? SCREEN_END : SCREEN_NONE;
    if (read(STDIN_FILENO, c, 1) != 1)
        return SCREEN_END;
    if (c[0] == '\n' || c[0] == '\r')
        return SCREEN_ENTER;
    if (c[0] != 0x1b || !waits(50) || read(STDIN_FILENO, c, 1) != 1)
        return c[0];
    if ((c[0] != '[' && c[0] != 'O') || !waits(50) || read(STDIN_FILENO, c, 1) != 1)
        return SCREEN_NONE;
    if (c[0] == '5' || c[0] == '6') {
        int key = c[0] == '5' ? SCREEN_PAGE_UP : SCREEN_PAGE_DOWN;
        return waits(50) && read(STDIN_FILENO, c, 1) == 1 ? key : SCREEN_NONE;
    }
    return c[0] == 'A' ? SCREEN_UP : c[0] == 'B' ? SCREEN_DOWN : SCREEN_NONE;
}
