/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zlib reads plain files too; in front of it stand the few bytes that the format was recognised by. */
#include "input.h"

#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC_LEN  64           /* enough for captures: no more is waited for */
#define HEAD_LEN   4096         /* the names in the first line of flow records */
#define TELL_EVERY 4            /* reads */
#define BUFFER_LEN (256u << 10) /* read at a time */
#define UNPACK_LEN                                                                                           \
    (64u << 10) /* less than half of it: then zlib reads plain files straight into our buffer */

struct input {
    gzFile file;
    unsigned char head[HEAD_LEN];
    size_t head_len;
    size_t head_at;
    bool damaged;
    struct progress *progress;
    uint64_t total; /* bytes of the file, packed; 0: not known */
    unsigned reads;
    char error[256];
    char buffer[BUFFER_LEN]; /* of the stream */
};

static const struct {
    const char *name;
    enum format format;
} formats[] = {
    {"pcap", FORMAT_PCAP},         {"pcapng", FORMAT_PCAPNG},  {"eve", FORMAT_EVE},
    {"zeek", FORMAT_ZEEK},         {"zeek-json", FORMAT_ZEEK}, {"nfdump", FORMAT_NFDUMP},
    {"nfdump-csv", FORMAT_NFDUMP},
};

enum format format_parse(const char *name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].format;
    return FORMAT_UNKNOWN;
}

/* Asks zlib what happened; a file that ends in the middle of packed data is told only here and at the end. */
static void note_error(struct input *input)
{
    int code = Z_OK;
    const char *text = gzerror(input->file, &code);
    if (code == Z_OK || code == Z_STREAM_END || input->damaged)
        return;
    input->damaged = true;
    if (code == Z_ERRNO)
        text = strerror(errno);
    else if (code == Z_BUF_ERROR)
        text = "the packed data end early";
    (void)snprintf(input->error, sizeof(input->error), "%s", text);
}

static ssize_t read_some(struct input *input, char *buf, size_t len)
{
    int n = gzread(input->file, buf, len > BUFFER_LEN ? BUFFER_LEN : (unsigned)len);
    if (n <= 0)
        note_error(input);
    return n;
}

static ssize_t on_read(void *cookie, char *buf, size_t len)
{
    struct input *input = cookie;
    size_t left = input->head_len - input->head_at;
    if (left == 0) {
        if (++input->reads % TELL_EVERY == 0)
            progress_step(input->progress, (uint64_t)gzoffset(input->file), input->total);
        return read_some(input, buf, len);
    }
    if (len > left)
        len = left;
    memcpy(buf, input->head + input->head_at, len);
    input->head_at += len;
    return (ssize_t)len;
}

static void read_head(struct input *input, size_t len)
{
    while (input->head_len < len) {
        ssize_t n = read_some(input, (char *)input->head + input->head_len, len - input->head_len);
        if (n <= 0)
            break;
        input->head_len += (size_t)n;
    }
}

struct input *input_open(const char *path, struct progress *progress, char *error, size_t error_len)
{
    struct input *input = calloc(1, sizeof(*input));
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? dup(STDIN_FILENO) : -1;
    errno = 0;
    if (input && (!is_stdin || fd >= 0))
        input->file = is_stdin ? gzdopen(fd, "rb") : gzopen(path, "rbe");
    if (!input || !input->file) {
        (void)snprintf(error, error_len, "%s", strerror(errno ? errno : ENOMEM));
        if (fd >= 0)
            close(fd);
        free(input);
        return NULL;
    }
    struct stat status;
    if ((is_stdin ? fstat(STDIN_FILENO, &status) : stat(path, &status)) == 0 && S_ISREG(status.st_mode))
        input->total = (uint64_t)status.st_size;
    input->progress = progress;
    progress_begin(progress, path);
    gzbuffer(input->file, UNPACK_LEN);
    read_head(input, MAGIC_LEN);
    if (input_format(input) == FORMAT_UNKNOWN)
        read_head(input, HEAD_LEN);
    return input;
}

static bool starts_with(const struct input *input, const char *bytes, size_t len)
{
    return input->head_len >= len && memcmp(input->head, bytes, len) == 0;
}

enum format input_format(const struct input *input)
{
    /* Seconds and micro- or nanoseconds, in both byte orders, and a variant of old Linux systems. */
    static const char magics[][5] = {"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d",
                                     "\x4d\x3c\xb2\xa1", "\xa1\xb2\xcd\x34", "\x34\xcd\xb2\xa1"};
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if (starts_with(input, magics[i], 4))
            return FORMAT_PCAP;
    if (starts_with(input, "\x0a\x0d\x0d\x0a", 4))
        return FORMAT_PCAPNG;
    switch (flow_recognise((const char *)input->head, input->head_len)) {
    case FLOW_FORMAT_EVE:
        return FORMAT_EVE;
    case FLOW_FORMAT_ZEEK:
        return FORMAT_ZEEK;
    case FLOW_FORMAT_NFDUMP:
        return FORMAT_NFDUMP;
    case FLOW_FORMAT_NONE:
        break;
    }
    return FORMAT_UNKNOWN;
}

FILE *input_stream(struct input *input)
{
    FILE *stream = fopencookie(input, "r", (cookie_io_functions_t){.read = on_read});
    if (stream)
        (void)setvbuf(stream, input->buffer, _IOFBF, sizeof(input->buffer));
    return stream;
}

bool input_close(struct input **input, char *error, size_t error_len)
{
    note_error(*input);
    int code = gzclose((*input)->file);
    if (code != Z_OK && !(*input)->damaged) {
        (*input)->damaged = true;
        (void)snprintf((*input)->error, sizeof((*input)->error), "%s",
                       code == Z_BUF_ERROR ? "the packed data end early" : "the packed data are damaged");
    }
    bool whole = !(*input)->damaged;
    if (!whole)
        (void)snprintf(error, error_len, "%s", (*input)->error);
    free(*input);
    *input = NULL;
    return whole;
}
