/*
 * pause: the first process of a Pod sandbox. It holds the namespaces it was started in and does nothing else:
 *
 *   - it reaps zombies (with a shared PID namespace it is the Pod's process 1);
 *   - it exits with status 0 on SIGTERM or SIGINT of the engine, and ignores those that come from inside the Pod.
 *
 * A signal of the engine comes from outside the PID namespace, so the kernel reports its sender as process 0. When
 * pause is not process 1 (the Pod shares the host's PID namespace) the two cannot be told apart, and any will do.
 *
 * No C library: the program is about 1 kB of code, starts in microseconds and cannot be exploited through anything
 * it does not contain. Build: see pause-image/Makefile.
 */

#if defined(__x86_64__)
enum {
    SYS_rt_sigprocmask = 14, SYS_getpid = 39, SYS_exit = 60, SYS_wait4 = 61, SYS_rt_sigtimedwait = 128
};
static long system_call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
/* Align the stack as the ABI asks. */
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  and $-16, %rsp\n  call run\n");
#elif defined(__aarch64__)
enum {
    SYS_rt_sigprocmask = 135, SYS_getpid = 172, SYS_exit = 93, SYS_wait4 = 260, SYS_rt_sigtimedwait = 137
};
static long system_call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n  mov x29, #0\n  bl run\n");
#else
#error "pause is written for amd64 and arm64"
#endif

enum {
    SIG_BLOCK = 0, SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1
};

/* struct siginfo of the kernel, as far as it is read here; the kernel writes 128 bytes. */
struct signal_info {
    int signal, error, code, padding, sender_pid, sender_uid;
    char rest[104];
};

static void exit_with(int status) {
    for (;;) system_call(SYS_exit, status, 0, 0, 0);
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

__attribute__((used, noreturn)) void run(void) {
    const unsigned long every_signal = ~0ul;

    /* Blocked before anything else, so that a SIGTERM that arrives early is kept, not lost or fatal. */
    if (system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&every_signal, 0, sizeof every_signal) < 0)
        exit_with(1);
    hold();
    __builtin_unreachable();
}
