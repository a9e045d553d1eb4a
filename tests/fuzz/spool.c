/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a sink's spool: what is handed out are whole lines of the file in their order, taken ones do
 * not come again after a restart, and a line that is put in comes out behind them. The first byte says how
 * many are taken. */
#include "enforcer/sinks/spool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static char *file;
static const char added[] = "added\n";

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static struct enf_spool opened(void)
{
    struct enf_spool spool;

    expect(enf_spool_open(directory, "fuzz", ROOM, &spool) == 0);
    return spool;
}

static void clean(void)
{
    unlink(file);
    rmdir(directory);
    free(file);
}

static void prepare(void)
{
    if (file)
        return;
    snprintf(directory, sizeof(directory), "%s/enf-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    expect(mkdtemp(directory) != NULL);
    struct enf_spool spool = opened();
    file = strdup(spool.path);
    enf_spool_close(&spool);
    expect(file != NULL);
    atexit(clean);
}

static void fill(const uint8_t *data, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* The first line is the one at *at, which moves on. False: a line that is too long, and all was thrown away.
 */
static bool take(struct enf_spool *spool, const uint8_t *data, size_t *at, size_t end)
{
    const char *line;
    size_t len;

    if (enf_spool_first(spool, &line, &len) == 0) {
        expect(enf_spool_is_empty(spool));
        return false;
    }
    const uint8_t *newline = memchr(data + *at, '\n', end - *at);
    expect(newline && len == (size_t)(newline + 1 - data) - *at && memcmp(line, data + *at, len) == 0);
    *at += len;
    enf_spool_drop(spool);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned taken = data[0];
    const char *line;
    size_t len;

    data++;
    size--;
    prepare();
    fill(data, size);
    struct enf_spool spool = opened();
    size_t at = (size_t)spool.head, end = (size_t)spool.tail;
    expect(at <= end && end <= size && (at == end || data[end - 1] == '\n'));
    bool whole = true;
    while (taken-- > 0 && at < end && whole)
        whole = take(&spool, data, &at, end);
    bool put = enf_spool_put(&spool, added, sizeof added - 1) == 0;
    expect(put || size + sizeof added > ROOM);
    enf_spool_close(&spool);
    spool = opened();
    while (at < end && whole)
        whole = take(&spool, data, &at, end);
    if (whole && put) {
        expect(enf_spool_first(&spool, &line, &len) == 1 && len == sizeof added - 1 &&
               memcmp(line, added, len) == 0);
        enf_spool_drop(&spool);
        expect(enf_spool_is_empty(&spool));
    }
    enf_spool_discard(&spool);
    enf_spool_close(&spool);
    return 0;
}
