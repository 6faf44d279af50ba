//! Which system calls a caged program may make.
//!
//! Owns the lists. Never knows the machine code (`filter`).
//! Invariant: socket families, netlink protocols, kernel log actions and file locks are allowed by list; a call that is
//! not in this kernel generation's table does not exist.

use libc::{c_int, c_long};

/// The newest call that was looked at when this list was made (`mseal`, Linux 6.10). Newer ones answer ENOSYS, so that
/// programs fall back to calls that the rules know.
pub(super) const HIGHEST: u32 = 462;

/// Numbers below that which no call has.
#[cfg(target_arch = "x86_64")]
pub(super) const UNKNOWN: &[(u32, u32)] = &[(335, 423)];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const UNKNOWN: &[(u32, u32)] = &[(295, 423)];

/// What varies between orders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    /// IPv4 and IPv6 are open.
    pub(super) net: bool,
    /// Files may be changed where the mounts let it.
    pub(super) changes: bool,
}

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Refuse(c_int),
}

const EPERM: Answer = Answer::Refuse(libc::EPERM);

/// A condition on the arguments; numbers are compared on 32 bits, as the kernel reads them.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// Each (argument, mask, value) holds: the argument's masked bits are the value.
    All(Vec<(u8, u32, u32)>),
    /// The argument has at least one of the bits.
    AnyBit(u8, u32),
    /// The pointer is null, on all 64 bits.
    Null(u8),
}

fn is(argument: u8, value: impl TryInto<u32>) -> Test {
    masked(argument, u32::MAX, value)
}

fn masked(argument: u8, mask: u32, value: impl TryInto<u32>) -> Test {
    Test::All(vec![(argument, mask, value.try_into().unwrap_or(u32::MAX))])
}

/// One call: the first test that holds gives the answer, else `otherwise`.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) number: u32,
    pub(super) tests: Vec<(Test, Answer)>,
    pub(super) otherwise: Answer,
}

fn rule(number: c_long, tests: Vec<(Test, Answer)>, otherwise: Answer) -> Rule {
    // Call numbers are small and positive on every architecture.
    Rule { number: u32::try_from(number).unwrap_or(u32::MAX), tests, otherwise }
}

/// Refused to every caged program: other processes, the kernel, mounts, namespaces, time, keys.
const NEVER: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    460, // lsm_set_self_attr
];

#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

/// Refused to a program that only reads: metadata that Landlock does not know, and IPC.
const READING: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    452, // fchmodat2
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_utimensat,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];

#[cfg(target_arch = "x86_64")]
const READING_HERE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const READING_HERE: &[c_long] = &[];

/// `CLONE_NEW…`: namespaces, cgroup, IPC, user, PID, network, host name.
const NAMESPACES: u32 = 0x7e02_0000;
/// `CLONE_NEWTIME`, for unshare only: clone has a signal number there.
const NEW_TIME: u32 = 0x80;

/// Terminal ioctls that inject input, and those that set an owner for signals.
const IOCTLS: &[u32] = &[0x5412, 0x541c, 0x541d, 0x8901, 0x8902];
/// ioctls that change a file or file system through a descriptor that is open for reading:
/// flags, extended attributes, version, label, freeze, thaw, trim, clone, clone range, deduplicate.
const FILE_IOCTLS: &[u32] = &[
    0x4008_6602,
    0x401c_5820,
    0x4008_7602,
    0x4100_9432,
    0xc004_5877,
    0xc004_5878,
    0xc018_5879,
    0x4004_9409,
    0x4020_940d,
    0xc018_9436,
];
/// `fcntl` commands: owner for signals (two forms), lease, write hint.
const FCNTLS: &[c_int] = &[8, 15, 1024, 1036];

/// Every rule of a profile.
pub(super) fn rules(profile: Profile) -> Vec<Rule> {
    let mut list: Vec<Rule> =
        NEVER.iter().chain(NEVER_HERE).map(|number| rule(*number, vec![], EPERM)).collect();
    list.push(rule(libc::SYS_clone3, vec![], Answer::Refuse(libc::ENOSYS)));
    list.push(rule(libc::SYS_clone, vec![(Test::AnyBit(0, NAMESPACES), EPERM)], Answer::Allow));
    list.push(rule(libc::SYS_unshare, vec![(Test::AnyBit(0, NAMESPACES | NEW_TIME), EPERM)], Answer::Allow));
    list.push(rule(libc::SYS_personality, allow([is(0, 0_u32), is(0, u32::MAX)]), EPERM));
    // Read everything, size of what is unread, size of the buffer: the three that change nothing.
    list.push(rule(libc::SYS_syslog, allow([is(0, 3_u32), is(0, 9_u32), is(0, 10_u32)]), EPERM));
    list.extend(sockets(profile));
    list.extend(nodes());
    let file_ioctls = if profile.changes { &[] } else { FILE_IOCTLS };
    let ioctls = IOCTLS.iter().chain(file_ioctls).map(|command| (is(1, *command), EPERM)).collect();
    list.push(rule(libc::SYS_ioctl, ioctls, Answer::Allow));
    if !profile.changes {
        list.extend(READING.iter().chain(READING_HERE).map(|number| rule(*number, vec![], EPERM)));
        list.push(rule(libc::SYS_flock, allow([masked(1, !(libc::LOCK_NB as u32), libc::LOCK_UN)]), EPERM));
        let fcntls = FCNTLS.iter().map(|command| (is(1, *command), EPERM)).collect();
        list.push(rule(libc::SYS_fcntl, fcntls, Answer::Allow));
        list.push(rule(libc::SYS_prlimit64, allow([is(0, 0_u32), Test::Null(2)]), EPERM));
    }
    list
}

fn allow<const N: usize>(tests: [Test; N]) -> Vec<(Test, Answer)> {
    tests.into_iter().map(|test| (test, Answer::Allow)).collect()
}

/// The kind of a socket, without its two flags.
const KIND: u32 = 0xf;

fn sockets(profile: Profile) -> Vec<Rule> {
    let netlink = libc::AF_NETLINK as u32;
    let family = |protocol: c_int| Test::All(vec![(0, u32::MAX, netlink), (2, u32::MAX, protocol as u32)]);
    let mut open =
        vec![(family(libc::NETLINK_ROUTE), Answer::Allow), (family(libc::NETLINK_SOCK_DIAG), Answer::Allow)];
    if profile.net {
        for family in [libc::AF_INET, libc::AF_INET6] {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                // Others load a kernel module when they are first asked for.
                for protocol in
                    [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6]
                {
                    let test = vec![
                        (0, u32::MAX, family as u32),
                        (1, KIND, kind as u32),
                        (2, u32::MAX, protocol as u32),
                    ];
                    open.push((Test::All(test), Answer::Allow));
                }
            }
        }
    }
    // A pair of datagram sockets could still send to any path; the connected kinds cannot.
    let pair = |kind: c_int| Test::All(vec![(0, u32::MAX, libc::AF_UNIX as u32), (1, KIND, kind as u32)]);
    let pairs = allow([pair(libc::SOCK_STREAM), pair(libc::SOCK_SEQPACKET)]);
    let mut list = vec![rule(libc::SYS_socket, open, EPERM), rule(libc::SYS_socketpair, pairs, EPERM)];
    if !profile.net {
        for number in [libc::SYS_connect, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4] {
            list.push(rule(number, vec![], EPERM));
        }
        // The length of a netlink address: no other family that is open has it.
        list.push(rule(libc::SYS_bind, allow([is(2, 12_u32)]), EPERM));
    }
    list
}

/// Device nodes cannot be made; pipes and plain files can, where the mounts let it.
fn nodes() -> Vec<Rule> {
    let devices = |argument: u8| {
        let kinds = [libc::S_IFCHR, libc::S_IFBLK];
        kinds.map(|kind| (masked(argument, libc::S_IFMT, kind), EPERM)).to_vec()
    };
    vec![
        #[cfg(target_arch = "x86_64")]
        rule(libc::SYS_mknod, devices(1), Answer::Allow),
        rule(libc::SYS_mknodat, devices(2), Answer::Allow),
    ]
}
