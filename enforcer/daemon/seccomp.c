/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filters: what is allowed by name, what is allowed with certain arguments, what kills.
 * docs/threat-model.md says what this is good for, docs/decisions/0021-confinement.md why it is so. */
#include "enforcer/daemon/seccomp.h"

#include <errno.h>

#if ENF_CONFINE

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Names, not numbers: not every machine has every call. What it does not have is left out. */
static const char *const both[] = {
    /* memory */
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "membarrier",
    /* open descriptors */
    "read",
    "write",
    "writev",
    "close",
    "fstat",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "poll",
    "ppoll",
    /* threads, clocks, the way out */
    "futex",
    "futex_time64",
    "set_robust_list",
    "rseq",
    "sched_yield",
    "sched_getaffinity",
    "getpid",
    "gettid",
    "getrandom",
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "exit",
    "exit_group",
};

static const char *const control_only[] = {
    /* files, where Landlock lets it */
    "open",
    "openat",
    "openat2",
    "stat",
    "lstat",
    "statx",
    "newfstatat",
    "fstatat64",
    "fstat64",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getcwd",
    "chdir",
    "getdents64",
    "statfs",
    "fstatfs",
    "lseek",
    "_llseek",
    "readv",
    "pread64",
    "preadv",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "flock",
    "fcntl",
    "fcntl64",
    "dup",
    "dup2",
    "dup3",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown", /* SQLite gives a log the owner of its database */
    "umask",
    "utimensat",
    "copy_file_range",
    /* sockets and the loop */
    "bind",
    "listen",
    "connect",
    "accept",
    "accept4",
    "shutdown",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "select",
    "pselect6",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "pipe2",
    "timerfd_create",
    "timerfd_settime",
    "signalfd4",
    /* questions */
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "getppid",
    "getrlimit",
    "uname",
    "sysinfo",
    "getrusage",
    "times",
    "getcpu",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "capget",
    /* a worker puts its own filter on top of this one */
    "seccomp",
};

static const char *const metrics_only[] = {
    "accept",  "accept4",     "epoll_ctl",   "epoll_wait", "epoll_pwait", "epoll_pwait2", "fcntl",
    "fcntl64", "getpeername", "getsockname", "getsockopt", "setsockopt",  "shutdown",
};

/* Nothing that we link with ever asks for one of these: who does has taken the thread over. */
static const char *const deadly[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "mount",
    "umount2",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "open_by_handle_at",
    "mknod",
    "mknodat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "setxattr",
    "fsetxattr",
    "lsetxattr",
    "chown",
    "lchown",
    "fchownat",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "keyctl",
    "add_key",
    "request_key",
    "personality",
    "modify_ldt",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "syslog",
    "fanotify_init",
    "kill",
    "tkill",
    "pidfd_send_signal",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
};

#define LEN(array) (sizeof(array) / sizeof *(array))

static bool is_control(enum enf_seccomp_role role)
{
    return role == ENF_SECCOMP_CONTROL || role == ENF_SECCOMP_CONTROL_NET;
}

/* With at most two conditions; a call that this machine has not is nothing to forbid or allow. */
static int rule(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned len,
                const struct scmp_arg_cmp *args)
{
    int number = seccomp_syscall_resolve_name(name);

    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(ctx, action, number, len, args);
}

static int rules(scmp_filter_ctx ctx, uint32_t action, const char *const names[], size_t len)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < len; i++)
        err = rule(ctx, action, names[i], 0, NULL);
    return err;
}

static int one(scmp_filter_ctx ctx, uint32_t action, const char *name, struct scmp_arg_cmp a)
{
    return rule(ctx, action, name, 1, &a);
}

static int two(scmp_filter_ctx ctx, uint32_t action, const char *name, struct scmp_arg_cmp a,
               struct scmp_arg_cmp b)
{
    const struct scmp_arg_cmp args[] = {a, b};

    return rule(ctx, action, name, 2, args);
}

#define IS(arg, value)         SCMP_CMP(arg, SCMP_CMP_EQ, value)
#define IS_32(arg, value)      SCMP_CMP32(arg, SCMP_CMP_EQ, value)
#define HAS(arg, bits, wanted) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, bits, wanted)

/* No memory becomes code: a worker maps none at all, the control thread only from a file, as the account
 * data base's and nft's own plug-ins are (nsswitch.conf(5), libxtables). */
static int memory(scmp_filter_ctx ctx, enum enf_seccomp_role role)
{
    int err = one(ctx, SCMP_ACT_ALLOW, "mprotect", HAS(2, PROT_EXEC, 0));

    if (err == 0)
        err = one(ctx, SCMP_ACT_ERRNO(EACCES), "mprotect", HAS(2, PROT_EXEC, PROT_EXEC));
    for (int i = 0; err == 0 && i < 2; i++) {
        const char *name = i == 0 ? "mmap" : "mmap2";
        err = one(ctx, SCMP_ACT_ALLOW, name, HAS(2, PROT_EXEC, 0));
        if (err == 0 && is_control(role))
            err = two(ctx, SCMP_ACT_ALLOW, name, HAS(2, PROT_EXEC, PROT_EXEC), HAS(3, MAP_ANONYMOUS, 0));
    }
    return err;
}

/* TCP and UDP, never raw. */
static int network(scmp_filter_ctx ctx)
{
    static const uint32_t families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    int err = 0;

    for (size_t i = 0; err == 0 && i < 4; i++)
        err = two(ctx, SCMP_ACT_ALLOW, "socket", IS_32(0, families[i / 2]),
                  HAS(1, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), types[i % 2]));
    return err;
}

/* if_indextoname(3) wants a socket of any kind. Netlink in a worker: those it has are enough. */
static int sockets(scmp_filter_ctx ctx, enum enf_seccomp_role role)
{
    int err;

    if (role == ENF_SECCOMP_METRICS)
        return 0;
    if (role == ENF_SECCOMP_WORKER)
        return two(ctx, SCMP_ACT_ALLOW, "socket", IS_32(0, AF_UNIX),
                   HAS(1, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_DGRAM));
    err = one(ctx, SCMP_ACT_ALLOW, "socket", IS_32(0, AF_UNIX));
    if (err == 0)
        err = two(ctx, SCMP_ACT_ALLOW, "socket", IS_32(0, AF_NETLINK), IS_32(2, NETLINK_NETFILTER));
    if (err == 0)
        err = two(ctx, SCMP_ACT_ALLOW, "socket", IS_32(0, AF_NETLINK), IS_32(2, NETLINK_ROUTE));
    if (err == 0 && role == ENF_SECCOMP_CONTROL_NET)
        err = network(ctx);
    return err;
}

static int ioctls(scmp_filter_ctx ctx, enum enf_seccomp_role role)
{
    static const unsigned long control[] = {SIOCOUTQ, TCGETS,  TIOCGWINSZ,  FIONBIO,
                                            FIONREAD, FIOCLEX, SIOCGIFINDEX};
    int err = one(ctx, SCMP_ACT_ALLOW, "ioctl", IS_32(1, SIOCGIFNAME));

    for (size_t i = 0; err == 0 && is_control(role) && i < LEN(control); i++)
        err = one(ctx, SCMP_ACT_ALLOW, "ioctl", IS_32(1, (uint32_t)control[i]));
    return err;
}

/* Threads yes, processes no. clone3 keeps its flags where no filter sees them; the C library takes its
 * absence for an old kernel's and uses clone, whose flags stand in the first argument (x86, arm). */
static int threads(scmp_filter_ctx ctx, enum enf_seccomp_role role)
{
    int err = one(ctx, SCMP_ACT_KILL_PROCESS, "clone", HAS(0, CLONE_THREAD, 0));

    if (err == 0 && is_control(role))
        err = one(ctx, SCMP_ACT_ALLOW, "clone", HAS(0, CLONE_THREAD, CLONE_THREAD));
    if (err == 0) /* abort(3): itself only */
        err = one(ctx, SCMP_ACT_ALLOW, "tgkill", IS_32(0, (uint32_t)getpid()));
    if (err == 0)
        err = one(ctx, SCMP_ACT_ALLOW, "prctl", IS_32(0, PR_SET_NAME));
    if (err == 0 && is_control(role))
        err = one(ctx, SCMP_ACT_ALLOW, "prctl", IS_32(0, PR_SET_NO_NEW_PRIVS));
    if (err == 0 && is_control(role))
        err = one(ctx, SCMP_ACT_ALLOW, "prctl", IS_32(0, PR_SET_SECCOMP));
    if (err == 0 && is_control(role)) /* a look at a limit, not a change */
        err = one(ctx, SCMP_ACT_ALLOW, "prlimit64", IS(2, 0));
    return err;
}

static int fill(scmp_filter_ctx ctx, enum enf_seccomp_role role)
{
    int err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (err == 0)
        err = rules(ctx, SCMP_ACT_ALLOW, both, LEN(both));
    if (err == 0 && is_control(role))
        err = rules(ctx, SCMP_ACT_ALLOW, control_only, LEN(control_only));
    if (err == 0 && role == ENF_SECCOMP_METRICS)
        err = rules(ctx, SCMP_ACT_ALLOW, metrics_only, LEN(metrics_only));
    if (err == 0)
        err = rules(ctx, SCMP_ACT_KILL_PROCESS, deadly, LEN(deadly));
    if (err == 0)
        err = memory(ctx, role);
    if (err == 0)
        err = sockets(ctx, role);
    if (err == 0)
        err = ioctls(ctx, role);
    return err == 0 ? threads(ctx, role) : err;
}

/* The filter as instructions, through a pipe, which holds more than the longest one. */
static int compile(scmp_filter_ctx ctx, struct sock_filter *out, unsigned short *out_len)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int err = seccomp_export_bpf(ctx, ends[1]);
    ssize_t got = err == 0 ? read(ends[0], out, BPF_MAXINSNS * sizeof *out) : 0;
    if (err == 0 && (got <= 0 || (size_t)got % sizeof *out != 0))
        err = -EIO;
    close(ends[0]);
    close(ends[1]);
    if (err == 0)
        *out_len = (unsigned short)((size_t)got / sizeof *out);
    return err;
}

static int load(struct sock_filter *code, unsigned short len)
{
    struct sock_fprog program = {.len = len, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    /* Without the flag old kernels slow a filtered thread down for fear of code that it runs for others. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) == 0)
        return 0;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}

/* libseccomp leaves parts of a filter out that it had no memory for, and says nothing: a thread was seen that
 * could not even end. So errno is asked, and what was compiled is what is loaded. */
static int checked(int err)
{
    return err == 0 && errno == ENOMEM ? -ENOMEM : err;
}

int enf_seccomp_apply(enum enf_seccomp_role role)
{
    struct sock_filter *code = malloc(BPF_MAXINSNS * sizeof *code);
    unsigned short len = 0;

    errno = 0;
    /* Unknown calls do not exist: a newer C library then does it the old way. */
    scmp_filter_ctx ctx = code ? seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) : NULL;
    int err = ctx ? checked(fill(ctx, role)) : -ENOMEM;
    if (err == 0)
        err = checked(compile(ctx, code, &len));
    if (err == 0)
        err = load(code, len);
    seccomp_release(ctx);
    free(code);
    return err;
}

#else

int enf_seccomp_apply(enum enf_seccomp_role role)
{
    (void)role;
    return -ENOTSUP;
}

#endif
