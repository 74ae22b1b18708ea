/*
 * pause: the first process of a Pod sandbox. It holds the Pod's namespaces and does nothing else.
 *
 *   pause                 hold the namespaces it was started in
 *   pause --unshare-net   first move into a new network namespace of its own
 *
 * In this order it
 *   1. leaves the network namespace it was started in, if asked (needs CAP_SYS_ADMIN);
 *   2. gives up every capability for good, and exits with status 1 if it cannot;
 *   3. reaps zombies (with a shared PID namespace it is the Pod's process 1);
 *   4. exits with status 0 on SIGTERM or SIGINT of the engine, and ignores those that come from inside the Pod.
 *
 * A signal of the engine comes from outside the PID namespace, so the kernel reports its sender as process 0. When
 * pause is not process 1 (the Pod shares the host's PID namespace) the two cannot be told apart, and any will do.
 *
 * No C library: the program is about 1 kB of code, starts in microseconds and cannot be exploited through anything
 * it does not contain. Build: see pause-image/Makefile.
 */

#if defined(__x86_64__)
enum {
    SYS_rt_sigprocmask = 14, SYS_getpid = 39, SYS_exit = 60, SYS_wait4 = 61, SYS_write = 1, SYS_capset = 126,
    SYS_rt_sigtimedwait = 128, SYS_prctl = 157, SYS_unshare = 272
};
static long system_call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = 0; /* prctl insists on zeros in what it does not use */
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
/* The kernel enters with argc at the top of the stack; hand the stack to C, aligned as the ABI asks. */
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call run\n");
#elif defined(__aarch64__)
enum {
    SYS_rt_sigprocmask = 135, SYS_getpid = 172, SYS_exit = 93, SYS_wait4 = 260, SYS_write = 64, SYS_capset = 91,
    SYS_rt_sigtimedwait = 137, SYS_prctl = 167, SYS_unshare = 97
};
static long system_call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = 0; /* prctl insists on zeros in what it does not use */
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n  mov x29, #0\n  mov x0, sp\n  bl run\n");
#else
#error "pause is written for amd64 and arm64"
#endif

enum {
    CLONE_NEWNET = 0x40000000,
    PR_CAPBSET_DROP = 24, PR_SET_NO_NEW_PRIVS = 38, PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_CLEAR_ALL = 4,
    CAPABILITY_VERSION_3 = 0x20080522, CAPABILITIES_MAX = 64,
    SIG_BLOCK = 0, SIGINT = 2, SIGTERM = 15, SIGCHLD = 17,
    WNOHANG = 1, EINTR = 4
};

/* struct siginfo of the kernel, as far as it is read here; the kernel writes 128 bytes. */
struct signal_info {
    int signal, error, code, padding, sender_pid, sender_uid;
    char rest[104];
};

static void exit_with(int status) {
    for (;;) system_call(SYS_exit, status, 0, 0, 0);
}

static void fail(const char *message, long length) {
    system_call(SYS_write, 2, (long)message, length, 0);
    exit_with(1);
}
#define FAIL(text) fail(text "\n", sizeof(text))

static int equals(const char *left, const char *right) {
    while (*left && *left == *right) left++, right++;
    return *left == *right;
}

static void drop_capabilities(void) {
    struct { unsigned version; int pid; } header = {CAPABILITY_VERSION_3, 0};
    struct { unsigned effective, permitted, inheritable; } none[2] = {{0, 0, 0}, {0, 0, 0}};

    if (system_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0) < 0) FAIL("pause: cannot set no_new_privs");
    /* The bounding set needs CAP_SETPCAP; without it no_new_privs and the empty sets below hold all the same. */
    for (long capability = 0; capability < CAPABILITIES_MAX; capability++)
        system_call(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0);
    system_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
    if (system_call(SYS_capset, (long)&header, (long)none, 0, 0) < 0) FAIL("pause: cannot drop capabilities");
}

static void reap_zombies(void) {
    while (system_call(SYS_wait4, -1, 0, WNOHANG, 0) > 0) {}
}

static void hold(void) {
    const unsigned long handled = 1ul << (SIGTERM - 1) | 1ul << (SIGINT - 1) | 1ul << (SIGCHLD - 1);
    const int is_init = system_call(SYS_getpid, 0, 0, 0, 0) == 1;
    struct signal_info info;

    for (;;) {
        long signal = system_call(SYS_rt_sigtimedwait, (long)&handled, (long)&info, 0, sizeof handled);
        if (signal == SIGCHLD) reap_zombies();
        else if ((signal == SIGTERM || signal == SIGINT) && (!is_init || info.sender_pid == 0)) exit_with(0);
    }
}

__attribute__((used, noreturn)) void run(const long *stack) {
    const long count = stack[0];
    const char *const *arguments = (const char *const *)(stack + 1);
    const unsigned long every_signal = ~0ul;

    /* Blocked before anything else, so that a SIGTERM that arrives early is kept, not lost or fatal. */
    if (system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&every_signal, 0, sizeof every_signal) < 0)
        FAIL("pause: cannot block signals");
    if (count > 1) {
        if (count > 2 || !equals(arguments[1], "--unshare-net")) FAIL("usage: pause [--unshare-net]");
        if (system_call(SYS_unshare, CLONE_NEWNET, 0, 0, 0) < 0)
            FAIL("pause: cannot unshare the network namespace (CAP_SYS_ADMIN is needed)");
    }
    drop_capabilities();
    hold();
    __builtin_unreachable();
}
