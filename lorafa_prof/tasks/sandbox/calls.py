"""The calls of Linux that a generated program may not make, by their numbers.

What a program may do is compute, read, and make threads. The numbers are from asm/unistd_64.h (x86-64) and
asm-generic/unistd.h (arm64); from `NEWER` on they are the same on both, and none of those is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The first of the calls that came after 2019, which the C library does without.
NEWER = 424


@dataclass(frozen=True)
class Calls:
    """The calls of an architecture.

    Attributes:
        audit: how the kernel names it to a filter.
        clone: makes a thread or, refused, a process.
        open: those that open a file, each with the place of its flags among its arguments.
        fcntl: changes what is done with an open file.
        refused: by name; connections, processes, signals, files that are changed, and the machine itself.
    """

    audit: int
    clone: int
    open: dict[int, int]
    fcntl: int
    refused: dict[str, int]


#: By what `platform.machine()` says.
CALLS = {
    "x86_64": Calls(
        audit=0xC000003E,
        clone=56,
        open={2: 1, 257: 2},
        fcntl=72,
        refused={
            "acct": 163, "add_key": 248, "adjtimex": 159, "bind": 49, "bpf": 321, "chmod": 90, "chown": 92,
            "chroot": 161, "clock_adjtime": 305, "clock_settime": 227, "connect": 42, "creat": 85,
            "delete_module": 176, "execve": 59, "execveat": 322, "fallocate": 285, "fanotify_init": 300,
            "fchmod": 91, "fchmodat": 268, "fchown": 93, "fchownat": 260, "finit_module": 313, "fork": 57,
            "fremovexattr": 199, "fsetxattr": 190, "futimesat": 261, "init_module": 175, "ioctl": 16,
            "ioperm": 173, "iopl": 172, "ioprio_set": 251, "kcmp": 312, "kexec_file_load": 320,
            "kexec_load": 246, "keyctl": 250, "kill": 62, "lchown": 94, "link": 86, "linkat": 265,
            "listen": 50, "lremovexattr": 198, "lsetxattr": 189, "memfd_create": 319, "migrate_pages": 256,
            "mkdir": 83, "mkdirat": 258, "mknod": 133, "mknodat": 259, "mount": 165, "move_pages": 279,
            "mq_open": 240, "mq_unlink": 241, "msgctl": 71, "msgget": 68, "msgrcv": 70, "msgsnd": 69,
            "name_to_handle_at": 303, "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155,
            "prlimit64": 302, "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101,
            "quotactl": 179, "reboot": 169, "removexattr": 197, "rename": 82, "renameat": 264,
            "renameat2": 316, "request_key": 249, "rmdir": 84, "rt_sigqueueinfo": 129,
            "rt_tgsigqueueinfo": 297, "sched_setaffinity": 203, "sched_setattr": 314, "sched_setparam": 142,
            "sched_setscheduler": 144, "semctl": 66, "semget": 64, "semop": 65, "semtimedop": 220,
            "sendmmsg": 307, "sendmsg": 46, "sendto": 44, "setdomainname": 171, "sethostname": 170,
            "setns": 308, "setpriority": 141, "setrlimit": 160, "settimeofday": 164, "setxattr": 188,
            "shmat": 30, "shmctl": 31, "shmget": 29, "socket": 41, "socketpair": 53, "swapoff": 168,
            "swapon": 167, "symlink": 88, "symlinkat": 266, "syslog": 103, "tgkill": 234, "tkill": 200,
            "truncate": 76, "umount2": 166, "unlink": 87, "unlinkat": 263, "unshare": 272,
            "userfaultfd": 323, "utime": 132, "utimensat": 280, "utimes": 235, "vfork": 58, "vhangup": 153,
        },
    ),
    "aarch64": Calls(
        audit=0xC00000B7,
        clone=220,
        open={56: 2},
        fcntl=25,
        refused={
            "acct": 89, "add_key": 217, "adjtimex": 171, "bind": 200, "bpf": 280, "chroot": 51,
            "clock_adjtime": 266, "clock_settime": 112, "connect": 203, "delete_module": 106, "execve": 221,
            "execveat": 281, "fallocate": 47, "fanotify_init": 262, "fchmod": 52, "fchmodat": 53,
            "fchown": 55, "fchownat": 54, "finit_module": 273, "fremovexattr": 16, "fsetxattr": 7,
            "init_module": 105, "ioctl": 29, "ioprio_set": 30, "kcmp": 272, "kexec_file_load": 294,
            "kexec_load": 104, "keyctl": 219, "kill": 129, "linkat": 37, "listen": 201, "lremovexattr": 15,
            "lsetxattr": 6, "memfd_create": 279, "migrate_pages": 238, "mkdirat": 34, "mknodat": 33,
            "mount": 40, "move_pages": 239, "mq_open": 180, "mq_unlink": 181, "msgctl": 187, "msgget": 186,
            "msgrcv": 188, "msgsnd": 189, "name_to_handle_at": 264, "open_by_handle_at": 265,
            "perf_event_open": 241, "pivot_root": 41, "prlimit64": 261, "process_vm_readv": 270,
            "process_vm_writev": 271, "ptrace": 117, "quotactl": 60, "reboot": 142, "removexattr": 14,
            "renameat": 38, "renameat2": 276, "request_key": 218, "rt_sigqueueinfo": 138,
            "rt_tgsigqueueinfo": 240, "sched_setaffinity": 122, "sched_setattr": 274, "sched_setparam": 118,
            "sched_setscheduler": 119, "semctl": 191, "semget": 190, "semop": 193, "semtimedop": 192,
            "sendmmsg": 269, "sendmsg": 211, "sendto": 206, "setdomainname": 162, "sethostname": 161,
            "setns": 268, "setpriority": 140, "setrlimit": 164, "settimeofday": 170, "setxattr": 5,
            "shmat": 196, "shmctl": 195, "shmget": 194, "socket": 198, "socketpair": 199, "swapoff": 225,
            "swapon": 224, "symlinkat": 36, "syslog": 116, "tgkill": 131, "tkill": 130, "truncate": 45,
            "umount2": 39, "unlinkat": 35, "unshare": 97, "userfaultfd": 282, "utimensat": 88,
            "vhangup": 58,
        },
    ),
}  # fmt: skip
