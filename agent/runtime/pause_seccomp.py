"""The seccomp profile of pause: what Docker's default profile denies, said as a list of denials. Pure.

Docker's own profile would do, but compiling its 350 rules for three architectures costs runc about 25 ms for every
Pod; these few cost nothing. A profile there must be: in a shared PID namespace a container may trace pause (both are
root), and would escape its own profile into a pause without one.
"""

from __future__ import annotations

import json

_CLONE_NEW_USER = 0x10000000
_ENOSYS = 38

_DENIED = (
    # tracing and reaching into other processes
    "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd"
    # the file tree
    " mount umount umount2 pivot_root move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr chroot"
    " name_to_handle_at open_by_handle_at quotactl quotactl_fd swapon swapoff"
    # namespaces and kernel interfaces that have been the way out before
    " setns add_key keyctl request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register"
    " modify_ldt personality uselib ustat sysfs vmsplice lookup_dcookie nfsservctl"
    # the machine
    " acct kexec_load kexec_file_load init_module finit_module delete_module create_module get_kernel_syms query_module"
    " ioperm iopl reboot settimeofday stime clock_settime clock_adjtime adjtimex syslog vhangup"
    " set_mempolicy mbind migrate_pages move_pages vm86 vm86old"
)

_PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": _DENIED.split(), "action": "SCMP_ACT_ERRNO"},
        # New user namespaces: the flag of clone and unshare; clone3 hides it, so there is no clone3.
        {
            "names": ["clone", "unshare"],
            "action": "SCMP_ACT_ERRNO",
            "args": [
                {"index": 0, "value": _CLONE_NEW_USER, "valueTwo": _CLONE_NEW_USER, "op": "SCMP_CMP_MASKED_EQ"},
            ],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ],
}

PAUSE_SECCOMP_OPTION = "seccomp=" + json.dumps(_PROFILE, separators=(",", ":"))
