/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the built enforcerctl against a daemon that has one answer: what it asks, what it prints, how it ends.
 * Skipped where the program is not built. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define OUTPUT_LEN   65536
#define ARGS_MAX     12

/* All that is known of one run. */
struct bed {
    char program[4096];
    char dir[64];
    char path[80];
    int listener;
    int done[2];        /* its end is closed when the program has ended */
    const char *answer; /* lines to send after the first request; NULL: none, the connection is closed */
    char asked[4096];   /* the request lines that came */
    char out[OUTPUT_LEN];
    char err[OUTPUT_LEN];
    int status;
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ssize_t len = readlink("/proc/self/exe", bed->program, sizeof(bed->program) - 32);
    char *build = len > 0 ? strstr(bed->program, "/unit/control/") : NULL;

    if (build)
        memcpy(build, "/enforcerctl", sizeof("/enforcerctl"));
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-ctl-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->path, sizeof(bed->path), "%s/s", bed->dir);
    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    bed->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bed->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(bed->listener, 4), 0);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;

    close(bed->listener);
    unlink(bed->path);
    rmdir(bed->dir);
    free(bed);
    return 0;
}

/* Serves one connection; a second request on it gets the rest of the answer, behind a line "---". */
static void *serve(void *arg)
{
    struct bed *bed = arg;
    struct pollfd ready[2] = {{.fd = bed->listener, .events = POLLIN},
                              {.fd = bed->done[0], .events = POLLIN}};
    const char *answer = bed->answer;
    int fd;

    if (poll(ready, 2, -1) < 1 || !(ready[0].revents & POLLIN))
        return NULL; /* the program ended and never came */
    fd = accept(bed->listener, NULL, NULL);
    for (;;) {
        const char *cut = answer ? strstr(answer, "---\n") : NULL;
        size_t len = strlen(bed->asked);
        ssize_t n;

        while (!memchr(bed->asked + len, '\n', strlen(bed->asked + len))) {
            n = recv(fd, bed->asked + strlen(bed->asked), sizeof(bed->asked) - 1 - strlen(bed->asked), 0);
            if (n <= 0)
                break;
        }
        if (!answer)
            break;
        n = cut ? cut - answer : (ssize_t)strlen(answer);
        send(fd, answer, (size_t)n, MSG_NOSIGNAL);
        answer = cut ? cut + 4 : NULL;
        if (!answer)
            break;
    }
    close(fd);
    return NULL;
}

static void read_all(int fd, char out[OUTPUT_LEN])
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, out + len, OUTPUT_LEN - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    close(fd);
}

/* Runs the program with the words of line, split at blanks; '_' stands for a blank inside a word. */
static void run(struct bed *bed, const char *line)
{
    char words[512];
    char *argv[ARGS_MAX + 4] = {bed->program, (char[]){"--socket"}, bed->path};
    char *save = NULL;
    pthread_t thread;
    int argc = 3;
    int out[2];
    int err[2];
    pid_t pid;

    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok_r(words, " ", &save); word && argc < ARGS_MAX + 3;
         word = strtok_r(NULL, " ", &save)) {
        for (char *c = word; *c; c++)
            if (*c == '_')
                *c = ' ';
        argv[argc++] = word;
    }
    memset(bed->asked, 0, sizeof(bed->asked));
    assert_int_equal(pipe2(bed->done, O_CLOEXEC), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(err), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, bed), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        close(out[0]);
        close(err[0]);
        execv(bed->program, argv);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    read_all(out[0], bed->out);
    read_all(err[0], bed->err);
    assert_int_equal(waitpid(pid, &bed->status, 0), pid);
    assert_true(WIFEXITED(bed->status));
    bed->status = WEXITSTATUS(bed->status);
    close(bed->done[1]);
    pthread_join(thread, NULL);
    close(bed->done[0]);
}

static bool is_built(const struct bed *bed)
{
    if (access(bed->program, X_OK) == 0)
        return true;
    print_message("skipped: %s is not built\n", bed->program);
    return false;
}

#define RESULT(text) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" text "}\n"
#define ERROR(code, text)                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":" code ",\"message\":\"" text "\"}}\n"
#define ENTRY                                                                                                \
    "{\"subscriber\":\"100.64.0.7\",\"level\":\"smtp\",\"since\":\"2026-03-01T12:00:07.250Z\",\"until\":"    \
    "null,"                                                                                                  \
    "\"reason\":\"spam\",\"actor\":\"user:ann\",\"ticket\":\"T-1\",\"convictions\":2,\"net\":false,"         \
    "\"forced\":false,\"enforced\":true}"

struct row {
    const char *line;
    const char *answer;
    int status;
    const char *asked; /* method and params, compact */
    const char *out;   /* whole; NULL: not looked at */
    const char *err;   /* a part of it; NULL: it must be empty */
};

static void check(const struct row *row, const struct bed *bed)
{
    if (bed->status != row->status)
        fail_msg("%s: status %d, stderr %s", row->line, bed->status, bed->err);
    if (row->asked ? !strstr(bed->asked, row->asked) : bed->asked[0])
        fail_msg("%s: asked %s", row->line, bed->asked);
    if (row->out && strcmp(bed->out, row->out) != 0)
        fail_msg("%s: printed\n%s", row->line, bed->out);
    if (row->err ? !strstr(bed->err, row->err) : bed->err[0])
        fail_msg("%s: stderr %s", row->line, bed->err);
}

static void run_rows(struct bed *bed, const struct row *rows, size_t len)
{
    if (!is_built(bed))
        skip();
    for (size_t i = 0; i < len; i++) {
        bed->answer = rows[i].answer;
        run(bed, rows[i].line);
        check(&rows[i], bed);
    }
}

static void test_usage(void **state)
{
    static const struct row rows[] = {
        {"", NULL, 2, NULL, "", "no command given"},
        {"frobnicate", NULL, 2, NULL, "", "unknown command frobnicate"},
        {"quarantine", NULL, 2, NULL, "", "wants more arguments"},
        {"quarantine 10.0.0.300", NULL, 2, NULL, "", "10.0.0.300 is no address and no prefix"},
        {"quarantine 10.0.0.1/24", NULL, 2, NULL, "", "no bits beyond its length: 10.0.0.0/24"},
        {"quarantine 10.0.0.1 --for 10", NULL, 2, NULL, "", "--for: 10 is no duration"},
        {"quarantine 10.0.0.1 --for 0s", NULL, 2, NULL, "", "a duration is from 1s to 3650d"},
        {"quarantine 10.0.0.1 --for", NULL, 2, NULL, "", "--for wants a value"},
        {"quarantine 10.0.0.1 --level none", NULL, 2, NULL, "", "is not throttle, smtp or full"},
        {"quarantine 10.0.0.1 --reason \xff", NULL, 2, NULL, "", "no UTF-8"},
        {"quarantine 10.0.0.1 --force --force", NULL, 2, NULL, "", "given twice"},
        {"quarantine 10.0.0.1 --force=yes", NULL, 2, NULL, "", "takes no value"},
        {"release 10.0.0.1 --force", NULL, 2, NULL, "", "release takes no --force"},
        {"status now", NULL, 2, NULL, "", "one argument too many: now"},
        {"status --what", NULL, 2, NULL, "", "unknown option --what"},
        {"show 10.0.0.1 10.0.0.2", NULL, 2, NULL, "", "one argument too many"},
        {"top --by spam", NULL, 2, NULL, "", "is not connections, destinations or blocked"},
        {"top --limit 0", NULL, 2, NULL, "", "--limit"},
        {"relay", NULL, 2, NULL, "", "wants more arguments"},
        {"relay grow", NULL, 2, NULL, "", "expected list, add or remove"},
        {"relay add", NULL, 2, NULL, "", "wants an address"},
        {"relay list 10.0.0.1", NULL, 2, NULL, "", "takes no address"},
        {"relay list --owner x", NULL, 2, NULL, "", "relay list takes no --owner"},
        {"relay remove 10.0.0.1 --expires 1d", NULL, 2, NULL, "", "relay remove takes no --expires"},
        {"relay add 10.0.0.1 --expires soon", NULL, 2, NULL, "", "no date like 2027-01-31"},
        {"mode off", NULL, 2, NULL, "", "is not enforce, observe or file"},
        {"governor trip", NULL, 2, NULL, "", "expected reset"},
        {"events --since soon", NULL, 2, NULL, "", "--since: soon is no duration"},
        {"--version", NULL, 0, NULL, "enforcerctl " ENF_VERSION "\n", NULL},
        {"--help", NULL, 0, NULL, NULL, NULL},
        {"quarantine --help", NULL, 0, NULL, NULL, NULL},
    };

    run_rows(*state, rows, ARRAY_LEN(rows));
}

static void test_errors(void **state)
{
    static const struct row rows[] = {
        {"status", ERROR("-32001", "user:eve is neither admin nor viewer"), 1, "\"status\"", "",
         "enforcerctl: refused: user:eve is neither admin nor viewer\n"},
        {"quarantine 192.0.2.10", ERROR("-32004", "192.0.2.10 is a relay"), 1, "\"quarantine.add\"", "",
         "refused: 192.0.2.10 is a relay (--force does it all the same)\n"},
        {"status --json", ERROR("-32601", "no method"), 1, "\"status\"", "", "of another version"},
        {"status", ERROR("-32000", "a\\u001b[31mb\\u009bc"), 1, "\"status\"", "", "refused: a?[31mb??c\n"},
        {"reload",
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"rejected\",\"data\":"
         "{\"errors\":[\"f:1: mode\",\"f:2: relays\"]}}}\n",
         1, "\"config.reload\"", "", "refused: rejected\n  f:1: mode\n  f:2: relays\n"},
        {"status", NULL, 3, "\"status\"", "", "it closed the connection"},
        {"status", "hello\n", 3, "\"status\"", "", "what it says is no answer"},
        {"--socket=/nonexistent status", NULL, 2, NULL, "", "--socket is given twice"},
    };

    run_rows(*state, rows, ARRAY_LEN(rows));
}

static void test_requests(void **state)
{
    static const struct row rows[] = {
        {"quarantine 100.64.0.7 2001:db8:7::/64 --for 10h --level full --reason=a_b --ticket T-1 --force",
         RESULT("{\"quarantined\":[" ENTRY "]}"), 0,
         "\"method\":\"quarantine.add\",\"params\":{\"addresses\":[\"100.64.0.7\",\"2001:db8:7::/64\"],"
         "\"for\":\"10h\",\"level\":\"full\",\"reason\":\"a b\",\"ticket\":\"T-1\",\"force\":true}}",
         "quarantined 100.64.0.7 (level smtp) until forever\n", NULL},
        {"release 100.64.0.0/24", RESULT("{\"released\":[]}"), 0,
         "\"method\":\"quarantine.release\",\"params\":{\"addresses\":[\"100.64.0.0/24\"]}}",
         "nothing was in quarantine there\n", NULL},
        {"reassigned 100.64.0.7", RESULT("{\"reassigned\":[\"100.64.0.7\"]}"), 0, "\"subscriber.reassigned\"",
         "reassigned 100.64.0.7: quarantine, counters and history have ended\n", NULL},
        {"relay list",
         RESULT("{\"relays\":[{\"address\":\"192.0.2.10\",\"name\":\"mx-out\",\"interface\":\"\","
                "\"origin\":\"file\",\"owner\":\"mail team\",\"expires\":\"2027-01-31T00:00:00.000Z\","
                "\"last_used\":\"2026-11-20T10:11:12.000Z\",\"lapsed\":true},{\"address\":\"192.0.2.64/"
                "28\",\"name\":\"x\","
                "\"interface\":\"eth2\",\"origin\":\"hand\",\"owner\":null,\"reason\":\"until the "
                "move\",\"expires\":\"2020-01-31T00:00:00.000Z\",\"last_used\":null,\"lapsed\":false}]}"),
         0, "\"method\":\"relay.list\"}",
         "ADDRESS        NAME    INTERFACE  ORIGIN   OWNER      EXPIRES               LAST USED             "
         "STATE              REASON\n"
         "192.0.2.10     mx-out  any        file     mail team  2027-01-31T00:00:00Z  2026-11-20T10:11:12Z  "
         "lapsed             -\n"
         "192.0.2.64/28  x       eth2       by hand  -          2020-01-31T00:00:00Z  -                     "
         "expired, in force  until the move\n",
         NULL},
        {"relay add 192.0.2.9 --name n --owner=m --reason r --expires 2999-12-31", RESULT("{\"relays\":[]}"),
         0,
         "\"relay.add\",\"params\":{\"address\":\"192.0.2.9\",\"name\":\"n\",\"owner\":\"m\",\"reason\":"
         "\"r\","
         "\"expires\":\"2999-12-31\"}",
         "added 192.0.2.9\n", NULL},
        {"relay remove 192.0.2.9", RESULT("{\"relays\":[]}"), 0, "\"relay.remove\"", "removed 192.0.2.9\n",
         NULL},
        {"mode observe", RESULT("{\"mode\":\"observe\",\"origin\":\"hand\"}"), 0,
         "\"mode.set\",\"params\":{\"mode\":\"observe\"}", "mode observe (by hand)\n", NULL},
        {"reload", RESULT("{\"reloaded\":true,\"changes\":[\"groups: +cable\"]}"), 0, "\"config.reload\"",
         "configuration read again; changed:\n  groups: +cable\n", NULL},
        {"governor reset", RESULT("{\"reset\":[\"eth1\"]}"), 0, "\"governor.reset\"",
         "automatic quarantine goes on:\n  eth1\n", NULL},
        {"ruleset", RESULT("{\"ruleset\":\"table inet enforcer {\\n\\tset a\\n}\"}"), 0, "\"ruleset.show\"",
         "table inet enforcer {\n\tset a\n}\n", NULL},
        {"mode --json file", RESULT("{\"mode\":\"enforce\",\"origin\":\"file\"}"), 0, "\"mode.set\"",
         "{\n  \"mode\": \"enforce\",\n  \"origin\": \"file\"\n}\n", NULL},
        {"top --by blocked --limit 5",
         RESULT("{\"by\":\"blocked\",\"subscribers\":[{\"subscriber\":\"100.64.0.7\",\"group\":\"res\","
                "\"connections\":21,\"destinations\":9,\"blocked\":12345,\"verdict\":\"zombie\"}]}"),
         0, "\"subscriber.top\",\"params\":{\"limit\":5,\"by\":\"blocked\"}",
         "SUBSCRIBER  GROUP  CONNECTIONS  DESTINATIONS  BLOCKED  VERDICT  LAST SEEN\n"
         "100.64.0.7  res             21             9    12345  zombie   -\n",
         NULL},
    };

    run_rows(*state, rows, ARRAY_LEN(rows));
}

static void test_list(void **state)
{
    static const struct row rows[] = {
        {"list", RESULT("{\"entries\":[],\"next\":null,\"total\":0}"), 0, "\"quarantine.list\"",
         "nobody is in quarantine\n", NULL},
        {"list",
         RESULT("{\"entries\":[" ENTRY "],\"next\":\"c1\",\"total\":2}") "---\n" RESULT(
             "{\"entries\":[" ENTRY "],\"next\":null,\"total\":2}"),
         0, "\"params\":{\"limit\":1000,\"after\":\"c1\"}",
         "SUBSCRIBER  LEVEL  SINCE                 UNTIL    BY        CONVICTED  TICKET  STATE     REASON\n"
         "100.64.0.7  smtp   2026-03-01T12:00:07Z  forever  user:ann          2  T-1     enforced  spam\n"
         "100.64.0.7  smtp   2026-03-01T12:00:07Z  forever  user:ann          2  T-1     enforced  spam\n",
         NULL},
        {"list --json --limit 1", RESULT("{\"entries\":[{\"a\":1}],\"next\":\"c\",\"total\":2}"), 0,
         "\"params\":{\"limit\":1}",
         "{\n  \"entries\": [\n    {\"a\": 1}\n  ],\n  \"next\": \"c\",\n  \"total\": 2\n}\n", NULL},
        {"list --json", RESULT("{\"entries\":[],\"next\":null,\"total\":0}"), 0, "\"quarantine.list\"",
         "{\n  \"entries\": [],\n  \"next\": null,\n  \"total\": 0\n}\n", NULL},
    };

    run_rows(*state, rows, ARRAY_LEN(rows));
}

static void test_show(void **state)
{
    static const struct row rows[] = {
        {"show 100.64.0.7",
         RESULT(
             "{\"subscriber\":\"100.64.0.7\",\"group\":\"residential\",\"policy\":\"block\","
             "\"windows\":[{\"setting\":\"connection_rate: 20 per 60s\",\"connections\":21,\"limit\":20,"
             "\"per_ms\":60000}],\"distinct\":{\"count\":3,\"limit\":15,\"per_ms\":600000},\"score\":0,"
             "\"first_seen\":null,\"last_seen\":null,\"connections_total\":21,"
             "\"evidence\":[{\"time\":\"2026-03-01T12:00:07.000Z\",\"kind\":\"connection\","
             "\"destination\":\"203.0.113.9\",\"port\":25,\"blocked\":true,\"forgeable\":false,\"step\":1.0,"
             "\"score\":21.0,\"threshold\":20.0,\"setting\":\"connection_rate: 20 per 60s\"},"
             "{\"time\":\"2026-03-02T00:00:01.000Z\",\"kind\":\"trap\",\"destination\":\"203.0.113.66\","
             "\"port\":25,\"blocked\":false,\"forgeable\":true,\"step\":1.0,\"score\":1.0,\"threshold\":0.0,"
             "\"setting\":\"traps\"}],\"evidence_total\":5,\"quarantine\":" ENTRY ","
             "\"history\":[{\"time\":\"2026-03-01T12:00:07.000Z\",\"action\":\"quarantined\","
             "\"reason\":\"spam\",\"actor\":\"detector\",\"ticket\":\"\",\"level\":\"smtp\",\"until\":null}]"
             "}"),
         0, "\"subscriber.show\",\"params\":{\"address\":\"100.64.0.7\"}",
         "subscriber  100.64.0.7\n"
         "group       residential, policy block\n"
         "seen        21 connections to port 25\n"
         "quarantine  level smtp, since 2026-03-01T12:00:07Z, until forever\n"
         "            by user:ann: spam, ticket T-1\n"
         "            conviction number 2 within memory\n"
         "now         21 of at most 20 connections in 1m\n"
         "            3 of at most 15 destinations in 10m\n"
         "evidence    5 observations, the last 2 are kept; times in UTC\n"
         "  2026-03-01\n"
         "    12:00:07  new connection to 203.0.113.9 port 25 (refused)   connection 21 of at most 20 in "
         "60s\n"
         "  2026-03-02\n"
         "    00:00:01  trap hit: connection to 203.0.113.66 port 25 (let through), sender not proven   one "
         "is enough\n"
         "\nhistory, times in UTC\n"
         "TIME                  WHAT         LEVEL  UNTIL    BY        TICKET  REASON\n"
         "2026-03-01T12:00:07Z  quarantined  smtp   forever  detector          spam\n",
         NULL},
        {"show 198.18.0.7",
         RESULT("{\"subscriber\":\"198.18.0.7\",\"group\":\"business\",\"policy\":\"inspect\","
                "\"windows\":[],\"sequential\":{\"score\":2.078125,\"threshold\":15.7,\"observations\":1},"
                "\"score\":0.13,\"connections_total\":3,\"evidence\":["
                "{\"time\":\"2026-03-01T12:00:07.000Z\",\"kind\":\"no-quit\",\"destination\":"
                "\"203.0.113.9\",\"port\":25,\"blocked\":false,\"forgeable\":false,\"step\":2.53515625,"
                "\"score\":12.5,\"threshold\":14.31,\"setting\":\"sequential: false_conviction 0.000001\"},"
                "{\"time\":\"2026-03-01T12:00:08.000Z\",\"kind\":\"refused\",\"destination\":"
                "\"203.0.113.9\",\"port\":25,\"blocked\":false,\"forgeable\":true,\"step\":2.078125,"
                "\"score\":14.578125,\"threshold\":14.31,\"setting\":\"sequential: false_conviction "
                "0.000001\"},"
                "{\"time\":\"2026-03-01T12:00:09.000Z\",\"kind\":\"reply\",\"destination\":\"203.0.113.9\","
                "\"port\":25,\"blocked\":false,\"forgeable\":true,\"value\":220,\"step\":1,\"score\":3,"
                "\"threshold\":3,\"setting\":\"unrequested_replies: 3 per 10m\"}],"
                "\"evidence_total\":11,\"quarantine\":null,\"history\":[]}"),
         0, "\"subscriber.show\",\"params\":{\"address\":\"198.18.0.7\"}",
         "subscriber  198.18.0.7\n"
         "group       business, policy inspect\n"
         "seen        3 connections to port 25\n"
         "quarantine  no\n"
         "now         2.08 of 15.70 in the sequential test, by 1 observations\n"
         "score       0.13 of the nearest limit\n"
         "evidence    11 observations, the last 3 are kept; times in UTC\n"
         "  2026-03-01\n"
         "    12:00:07  left without QUIT, session with 203.0.113.9 port 25                                  "
         "   +2.54 makes "
         "12.50 of 14.31 (sequential: false_conviction 0.000001)\n"
         "    12:00:08  recipient refused by 203.0.113.9 port 25 (said from outside)                         "
         "   +2.08 makes "
         "14.58 of 14.31 (sequential: false_conviction 0.000001)\n"
         "    12:00:09  220 SMTP reply that it had not asked for from 203.0.113.9 port 25 (said from "
         "outside)   reply "
         "3 of 3 in 10m\n",
         NULL},
    };

    run_rows(*state, rows, ARRAY_LEN(rows));
}

#define EVENT(n)                                                                                             \
    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"@timestamp\":\"2026-03-01T12:00:0" n ".000Z\"," \
    "\"event\":{\"action\":\"quarantined\",\"sequence\":" n ",\"severity\":73,\"reason\":\"r\"},"            \
    "\"enforcer\":{\"subscriber\":\"100.64.0.7\",\"level\":\"smtp\",\"until\":null,\"actor\":\"detector\"}}" \
    "}\n"
#define PRINTED(n)                                                                                           \
    "2026-03-01T12:00:0" n "Z  quarantined            100.64.0.7  level smtp  until forever  by detector  "  \
    "r\n"

static void test_events(void **state)
{
    static const struct row rows[] = {
        {"events", RESULT("{\"subscribed\":true,\"first\":4,\"last\":5}") EVENT("4") EVENT("5"), 0,
         "\"events.subscribe\",\"params\":{\"since\":\"3650d\"}", PRINTED("4") PRINTED("5"), NULL},
        {"events --since 10m", RESULT("{\"subscribed\":true,\"first\":6,\"last\":5}"), 0,
         "{\"since\":\"10m\"}", "", NULL},
        {"events --follow", RESULT("{\"subscribed\":true,\"first\":6,\"last\":5}") EVENT("6"), 3,
         "\"params\":{}", PRINTED("6"), "it closed the connection"},
        {"events --follow",
         RESULT(
             "{\"subscribed\":true,\"first\":6,\"last\":5}") "{\"jsonrpc\":\"2.0\",\"method\":\"events."
                                                             "lost\",\"params\":{\"lost\":9,\"next\":15}}\n",
         1, "\"params\":{}", "", "9 events are lost"},
    };
    struct bed *bed = *state;

    run_rows(bed, rows, ARRAY_LEN(rows));
    bed->answer = RESULT("{\"subscribed\":true,\"first\":4,\"last\":4}") EVENT("4");
    run(bed, "events --json");
    assert_int_equal(bed->status, 0);
    assert_ptr_equal(strchr(bed->out, '\n'), bed->out + strlen(bed->out) - 1);
    assert_int_equal(strncmp(bed->out, "{\"@timestamp\":\"2026", 18), 0);
}

static void test_status(void **state)
{
    struct bed *bed = *state;

    if (!is_built(bed))
        skip();
    bed->answer = RESULT(
        "{\"version\":\"0.1\",\"run\":\"r1\",\"pid\":77,\"mode\":\"observe\",\"mode_origin\":\"hand\","
        "\"uptime_s\":273600,\"config\":\"/etc/enforcer/enforcer.yaml\",\"queue_kind\":\"xt\","
        "\"groups\":[{\"name\":\"residential\",\"policy\":\"block\",\"prefixes\":[\"100.64.0.0/10\"],"
        "\"counters\":{\"blocked\":{\"packets\":7,\"bytes\":300},\"connections\":12}}],"
        "\"counters\":{\"bogon\":{\"packets\":3,\"bytes\":180}},"
        "\"telemetry\":{\"log_messages\":5,\"log_lost\":1},\"events\":{\"written\":8,\"lost\":0,\"sequence\":"
        "8},"
        "\"kernel\":{\"table\":\"missing\",\"elements\":{\"quarantine4\":2}},"
        "\"governor\":{\"tripped\":true,\"interfaces\":[\"eth1\",\"eth2\"]},"
        "\"coverage\":{\"desired\":4,\"enforced\":2,\"ratio\":0.5},\"relays\":1,\"clients\":1}");
    run(bed, "status");
    assert_int_equal(bed->status, 0);
    assert_string_equal(
        bed->out,
        "mode          observe (by hand; the file may say otherwise): nothing is dropped\n"
        "daemon        version 0.1, process 77, up 3d 4h, run r1\n"
        "configuration /etc/enforcer/enforcer.yaml\n"
        "coverage      the kernel has 2 of 4 quarantines (50.0 %)\n"
        "kernel table  missing; queue: xt\n"
        "governor      TRIPPED on eth1, eth2: automatic quarantine has stopped there (governor reset)\n"
        "telemetry     5 messages, 1 lost\n"
        "queue         0 packets, 0 dropped (queue full), 0 not read (daemon too slow)\n"
        "events        8 written, 0 lost, 0 to be written, the last is number 8\n"
        "quarantine    0 of at most 0\n"
        "detector      0 subscribers of at most 0, 0 evicted\n"
        "relays        1\n"
        "clients       1\n"
        "\n"
        "GROUP        POLICY  PREFIXES  SUBSCRIBERS  CONNECTIONS  BLOCKED\n"
        "residential  block          1            -           12        7\n"
        "\n"
        "COUNTER  PACKETS  BYTES\n"
        "bogon          3    180\n"
        "\n"
        "KERNEL SET   ELEMENTS\n"
        "quarantine4         2\n");
}

static void test_no_daemon(void **state)
{
    struct bed *bed = *state;

    if (!is_built(bed))
        skip();
    unlink(bed->path);
    bed->answer = NULL;
    run(bed, "status");
    assert_int_equal(bed->status, 3);
    assert_non_null(strstr(bed->err, "enforcerd is not running"));
    assert_non_null(strstr(bed->err, bed->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_daemon, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
