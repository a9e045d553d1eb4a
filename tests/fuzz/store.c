/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the state file: it opens or is refused with a known fault and left as it was; every row that
 * is handed out makes sense, and adding to the file does not crash either. */
#include "enforcer/store/store.h"
#include "enforcer/store/history.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static char file[96];

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void clean(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[128];

        snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
        unlink(name);
    }
}

static void remove_directory(void)
{
    clean();
    rmdir(directory);
}

static void prepare(void)
{
    bool memory = access("/dev/shm", W_OK) == 0;

    if (directory[0])
        return;
    snprintf(directory, sizeof(directory), "%s/enf-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    expect(mkdtemp(directory) != NULL);
    snprintf(file, sizeof(file), "%s/" ENF_STORE_FILE, directory);
    atexit(remove_directory);
}

static void check_prefix(const struct enf_prefix *prefix)
{
    struct enf_prefix clean_one = enf_prefix_make(&prefix->addr, prefix->len);

    expect(prefix->addr.family == ENF_FAMILY_V4 || prefix->addr.family == ENF_FAMILY_V6);
    expect(enf_prefix_equal(prefix, &clean_one));
}

static int on_entry(void *ctx, const struct enf_quarantine *entry)
{
    (void)ctx;
    check_prefix(&entry->subscriber);
    expect(entry->level > ENF_LEVEL_NONE && (unsigned)entry->level < ENF_LEVEL_COUNT);
    expect(entry->until_ms > entry->since_ms);
    expect(strlen(entry->reason) < ENF_REASON_LEN && strlen(entry->group) < ENF_NAME_LEN);
    return 0;
}

static int on_line(void *ctx, const struct enf_store_history *line)
{
    (void)ctx;
    check_prefix(&line->subscriber);
    expect(line->action[0] && strlen(line->reason) < ENF_REASON_LEN && line->evidence != NULL);
    return 0;
}

static int on_relay(void *ctx, const struct enf_store_relay *relay)
{
    (void)ctx;
    check_prefix(&relay->prefix);
    return 0;
}

static int on_audit(void *ctx, const struct enf_store_audit *line)
{
    (void)ctx;
    expect(strlen(line->detail) <= ENF_STORE_AUDIT_TEXT_MAX);
    return 0;
}

static void use(struct enf_store *store)
{
    struct enf_prefix all = {.addr = {.family = ENF_FAMILY_V4}};
    struct enf_store_history line = {.subscriber = all, .time_ms = 1, .evidence = "[]"};
    struct enf_store_audit audit = {.time_ms = 1};
    char value[64];
    size_t deleted;

    enf_store_quarantine_each(store, on_entry, NULL, NULL);
    enf_store_relay_each(store, on_relay, NULL);
    enf_store_audit_read(store, 0, 10, on_audit, NULL);
    enf_store_history_automatic(store, 0, 10, on_line, NULL);
    enf_store_audit_prune(store, 1);
    enf_store_setting_get(store, "mode", value, sizeof(value));
    enf_store_history_read(store, &all, 10, on_line, NULL);
    enf_store_history_since(store, NULL, 0, on_line, NULL);
    enf_store_history_add(store, "convicted", &line);
    enf_store_audit_add(store, &audit);
    enf_store_setting_set(store, "mode", "observe");
    enf_store_history_prune(store, 5, 10, &deleted);
    enf_store_verify(store);
}

static void check_untouched(const uint8_t *data, size_t size)
{
    uint8_t *now = malloc(size + 1);
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    expect(now && fd >= 0);
    expect(read(fd, now, size + 1) == (ssize_t)size && memcmp(now, data, size) == 0);
    close(fd);
    free(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct enf_store *store = NULL;
    char message[ENF_STORE_MESSAGE_LEN] = "";
    int fd;
    int err;

    prepare();
    clean();
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    err = enf_store_open(directory, &store, message, sizeof(message));
    if (err) {
        expect(store == NULL && message[0] && err < 0);
        if (enf_store_fault(err) == ENF_STORE_FUTURE || enf_store_fault(err) == ENF_STORE_FOREIGN)
            check_untouched(data, size);
        return 0;
    }
    use(store);
    enf_store_close(&store);
    return 0;
}
