/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filters as they are, each call in a process of its own: what must work, what fails, what ends the
 * process. */
#include "enforcer/daemon/seccomp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLED (-1)

/* 0 or the errno of the call. Each has arguments with which it does no harm where no filter stops it. */
typedef int (*call_fn)(void);

static int done(long result)
{
    return result < 0 ? errno : 0;
}

static int call_execve(void)
{
    char name[] = "/bin/true";
    char *const argv[] = {name, NULL};

    return done(execve(name, argv, NULL));
}

static int call_execveat(void)
{
    char name[] = "/bin/true";
    char *const argv[] = {name, NULL};

    return done(syscall(SYS_execveat, AT_FDCWD, name, argv, NULL, 0));
}

static int call_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return done(pid);
}

static int call_ptrace(void)
{
    return done(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int call_mount(void)
{
    return done(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
}

static int call_module(void)
{
    return done(syscall(SYS_finit_module, -1, "", 0));
}

static int call_kexec(void)
{
    return done(syscall(SYS_kexec_load, 0, 0, NULL, ~0ul));
}

static int call_bpf(void)
{
    return done(syscall(SYS_bpf, 0, NULL, 0));
}

static int call_unshare(void)
{
    return done(syscall(SYS_unshare, 0));
}

static int call_setns(void)
{
    return done(syscall(SYS_setns, -1, 0));
}

static int call_setuid(void)
{
    return done(syscall(SYS_setuid, getuid()));
}

static int call_io_uring(void)
{
    return done(syscall(SYS_io_uring_setup, 0, NULL));
}

static int call_vm_write(void)
{
    return done(syscall(SYS_process_vm_writev, getpid(), NULL, 0, NULL, 0, 0));
}

static int call_kill(void)
{
    return done(syscall(SYS_kill, getppid(), 0));
}

static int call_symlink(void)
{
    return done(symlink("/etc/passwd", "/nowhere/link"));
}

static int call_clone3(void)
{
    return done(syscall(SYS_clone3, NULL, 0));
}

static int call_unknown(void)
{
    return done(syscall(1000));
}

static int call_open(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    return done(fd);
}

static int call_packet_socket(void)
{
    return done(socket(AF_PACKET, SOCK_RAW, 0));
}

static int call_inet_socket(void)
{
    return done(socket(AF_INET, SOCK_STREAM, 0));
}

static int call_inet_raw(void)
{
    return done(socket(AF_INET, SOCK_RAW, 1));
}

static int call_inet6_socket(void)
{
    return done(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int call_netfilter_socket(void)
{
    return done(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
}

static int call_audit_socket(void)
{
    return done(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT));
}

static int call_unix_stream(void)
{
    return done(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int call_code_page(void)
{
    return done(
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
}

static int call_make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? EIO : done(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int call_tiocsti(void)
{
    return done(syscall(SYS_ioctl, -1, 0x5412, "x")); /* TIOCSTI: types into the terminal */
}

static int call_prctl_dumpable(void)
{
    return done(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

static int call_raise_limit(void)
{
    const struct rlimit limit = {1, 1};

    return done(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
}

static int call_memory(void)
{
    for (size_t size = 1; size < (size_t)64 << 20; size *= 2) {
        char *block = malloc(size);
        char *more = block ? realloc(block, size * 2) : NULL;
        if (!more)
            return ENOMEM;
        memset(more, 1, size * 2);
        free(more);
    }
    return 0;
}

static int call_clocks(void)
{
    const struct timespec short_time = {.tv_nsec = 1000};
    struct timespec now;

    return done(clock_gettime(CLOCK_REALTIME, &now) + clock_gettime(CLOCK_MONOTONIC, &now) +
                clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, NULL) + sched_yield());
}

static int call_interface_name(void)
{
    char name[IF_NAMESIZE];

    return if_indextoname(1, name) ? 0 : errno;
}

static int call_name(void)
{
    return done(prctl(PR_SET_NAME, "worker0", 0, 0, 0));
}

static int fds[2]; /* a pair of sockets */
static int event_fd;

static int call_messages(void)
{
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    struct pollfd ready = {.fd = fds[1], .events = POLLIN};

    if (send(fds[0], "a", 1, 0) != 1 || sendmsg(fds[0], &message.msg_hdr, 0) != 1 ||
        poll(&ready, 1, 1000) != 1 || recvmmsg(fds[1], &message, 1, MSG_DONTWAIT, NULL) != 1 ||
        recv(fds[1], &byte, 1, 0) != 1)
        return errno ? errno : EIO;
    return 0;
}

static int call_wake(void)
{
    uint64_t one = 1;

    return done(write(event_fd, &one, sizeof one) == sizeof one &&
                        read(event_fd, &one, sizeof one) == sizeof one
                    ? 0
                    : -1);
}

/* Aborts by itself: the core shows where. */
static int call_abort(void)
{
    abort();
}

static void *narrower(void *arg)
{
    int *result = arg;

    *result = enf_seccomp_apply(ENF_SECCOMP_WORKER);
    if (*result == 0)
        *result = call_open() == ENOSYS ? 0 : EIO;
    return NULL;
}

/* The thread is narrowed, this one is not. */
static int call_thread(void)
{
    int result = -1;
    pthread_t thread;
    int err = pthread_create(&thread, NULL, narrower, &result);

    if (err == 0)
        err = pthread_join(thread, NULL);
    return err ? err : result ? EIO : call_open();
}

static const struct row {
    const char *name;
    call_fn call;
    int control; /* 0, errno or KILLED */
    int worker;
} table[] = {
    {"execve", call_execve, KILLED, KILLED},
    {"execveat", call_execveat, KILLED, KILLED},
    {"fork", call_fork, KILLED, KILLED},
    {"ptrace", call_ptrace, KILLED, KILLED},
    {"process_vm_writev", call_vm_write, KILLED, KILLED},
    {"mount", call_mount, KILLED, KILLED},
    {"finit_module", call_module, KILLED, KILLED},
    {"kexec_load", call_kexec, KILLED, KILLED},
    {"bpf", call_bpf, KILLED, KILLED},
    {"unshare", call_unshare, KILLED, KILLED},
    {"setns", call_setns, KILLED, KILLED},
    {"setuid", call_setuid, KILLED, KILLED},
    {"io_uring_setup", call_io_uring, KILLED, KILLED},
    {"kill", call_kill, KILLED, KILLED},
    {"symlink", call_symlink, KILLED, KILLED},
    {"clone3", call_clone3, ENOSYS, ENOSYS},
    {"a call that nobody knows", call_unknown, ENOSYS, ENOSYS},
    {"memory that is code", call_code_page, ENOSYS, ENOSYS},
    {"memory becomes code", call_make_code, EACCES, EACCES},
    {"socket: packet", call_packet_socket, ENOSYS, ENOSYS},
    {"socket: IPv4", call_inet_socket, ENOSYS, ENOSYS},
    {"socket: IPv4, raw", call_inet_raw, ENOSYS, ENOSYS},
    {"socket: IPv6", call_inet6_socket, ENOSYS, ENOSYS},
    {"socket: audit", call_audit_socket, ENOSYS, ENOSYS},
    {"socket: netfilter", call_netfilter_socket, 0, ENOSYS},
    {"socket: unix stream", call_unix_stream, 0, ENOSYS},
    {"ioctl: type into a terminal", call_tiocsti, ENOSYS, ENOSYS},
    {"prctl: dumpable", call_prctl_dumpable, ENOSYS, ENOSYS},
    {"prlimit: set", call_raise_limit, ENOSYS, ENOSYS},
    {"open", call_open, 0, ENOSYS},
    {"thread with a filter of its own", call_thread, 0, EPERM},
    {"malloc and free", call_memory, 0, 0},
    {"clocks", call_clocks, 0, 0},
    {"messages", call_messages, 0, 0},
    {"eventfd", call_wake, 0, 0},
    {"if_indextoname", call_interface_name, 0, 0},
    {"prctl: name", call_name, 0, 0},
};

/* What became of the call under the filter. */
static int outcome(enum enf_seccomp_role role, call_fn call, int *out_signal)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int err = enf_seccomp_apply(role);
        errno = 0;
        _exit(err ? 255 : call());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *out_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return WIFSIGNALED(status) ? KILLED : WEXITSTATUS(status);
}

static void test_table(enum enf_seccomp_role role)
{
    int wrong = 0, by = 0;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool narrow = role == ENF_SECCOMP_WORKER || role == ENF_SECCOMP_METRICS;
        int wanted = narrow ? table[i].worker : table[i].control;
        /* that one makes a socket, and the thread of the metrics may make none, nor open files */
        if (role == ENF_SECCOMP_METRICS && table[i].call == call_interface_name)
            wanted = ENOENT;
        int found = outcome(role, table[i].call, &by);
        /* a failed thread creation has one of several numbers */
        bool same = wanted == EPERM ? found > 0 && found < 255 : found == wanted;
        if (!same || (found == KILLED && by != SIGSYS)) {
            print_error("%s: %d (signal %d), expected %d\n", table[i].name, found, by, wanted);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_control(void **state)
{
    (void)state;
    test_table(ENF_SECCOMP_CONTROL);
}

/* With a sink on another machine: TCP and UDP as well, and nothing else. */
static void test_control_net(void **state)
{
    int by = 0;

    (void)state;
    assert_int_equal(outcome(ENF_SECCOMP_CONTROL_NET, call_inet_socket, &by), 0);
    assert_int_equal(outcome(ENF_SECCOMP_CONTROL_NET, call_inet6_socket, &by), 0);
    assert_int_equal(outcome(ENF_SECCOMP_CONTROL_NET, call_inet_raw, &by), ENOSYS);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].call == call_inet_socket || table[i].call == call_inet6_socket)
            continue;
        assert_int_equal(outcome(ENF_SECCOMP_CONTROL_NET, table[i].call, &by), table[i].control);
    }
}

static void test_worker(void **state)
{
    (void)state;
    test_table(ENF_SECCOMP_WORKER);
}

static void test_metrics(void **state)
{
    (void)state;
    test_table(ENF_SECCOMP_METRICS);
}

static void test_abort(void **state)
{
    int by = 0;

    (void)state;
    assert_int_equal(outcome(ENF_SECCOMP_WORKER, call_abort, &by), KILLED);
    assert_int_equal(by, SIGABRT);
}

static void test_no_new_privs(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        FILE *file = fopen("/proc/self/status", "re");
        char line[256];
        int found = 0;
        enf_seccomp_apply(ENF_SECCOMP_CONTROL);
        while (file && fgets(line, sizeof line, file))
            found += strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "Seccomp:\t2\n") == 0;
        _exit(found);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 2);
}

static int setup(void **state)
{
    (void)state;
    event_fd = eventfd(0, EFD_CLOEXEC);
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0 || event_fd < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control), cmocka_unit_test(test_control_net),
        cmocka_unit_test(test_worker),  cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_abort),   cmocka_unit_test(test_no_new_privs),
    };

    if (!ENF_CONFINE) {
        printf("[  SKIPPED ] built without filters\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, NULL);
}
