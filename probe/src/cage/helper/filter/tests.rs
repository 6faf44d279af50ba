//! Tests of the filter program by running it on an interpreter of the instructions that it uses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use proptest::prelude::*;

const OBSERVE: Profile = Profile { net: false, changes: false };
const DIAGNOSE: Profile = Profile { net: true, changes: false };
const CHANGE: Profile = Profile { net: false, changes: true };
const EPERM: u32 = ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = ERRNO | libc::ENOSYS as u32;

fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    for argument in arguments {
        data.extend(argument.to_le_bytes());
    }
    let (mut at, mut a) = (0, 0_u32);
    for _ in 0..program.len() + 1 {
        let step = &program[at];
        let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
        at += 1;
        match step.code {
            LOAD => a = u32::from_le_bytes(data[step.k as usize..][..4].try_into().unwrap()),
            AND => a &= step.k,
            JUMP_EQUAL => at += jump(a == step.k),
            JUMP_GREATER => at += jump(a > step.k),
            JUMP_ATLEAST => at += jump(a >= step.k),
            JUMP_ANY_BIT => at += jump(a & step.k != 0),
            RETURN => return step.k,
            other => panic!("an instruction that is never made: {other:#x}"),
        }
    }
    panic!("the program does not end");
}

fn call(profile: Profile, number: libc::c_long, arguments: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    run(&assemble(profile), NATIVE, number as u32, all)
}

#[test]
fn calls_are_judged_by_their_arguments() {
    let high = 1_u64 << 32;
    let table: &[(Profile, libc::c_long, &[u64], u32)] = &[
        (OBSERVE, libc::SYS_read, &[], ALLOW),
        (OBSERVE, libc::SYS_socket, &[1, 1, 0], EPERM),
        (OBSERVE, libc::SYS_socket, &[2, 1, 0], EPERM),
        (OBSERVE, libc::SYS_socket, &[16, 3, 0], ALLOW),
        (OBSERVE, libc::SYS_socket, &[16, 3, 4], ALLOW),
        (OBSERVE, libc::SYS_socket, &[16, 3, 9], EPERM),
        (OBSERVE, libc::SYS_socket, &[16, 3, 12], EPERM),
        (OBSERVE, libc::SYS_socket, &[40, 1, 0], EPERM),
        (OBSERVE, libc::SYS_socket, &[38, 5, 0], EPERM),
        (DIAGNOSE, libc::SYS_socket, &[2, 1, 6], ALLOW),
        (DIAGNOSE, libc::SYS_socket, &[10, 2 | 0o2000000, 17], ALLOW),
        (DIAGNOSE, libc::SYS_socket, &[2, 3, 1], EPERM),
        (DIAGNOSE, libc::SYS_socket, &[2, 1, 132], EPERM),
        (DIAGNOSE, libc::SYS_socket, &[1, 1, 0], EPERM),
        (OBSERVE, libc::SYS_socketpair, &[1, 1 | 0o2000000, 0], ALLOW),
        (OBSERVE, libc::SYS_socketpair, &[1, 2, 0], EPERM),
        (OBSERVE, libc::SYS_bind, &[3, 0, 12], ALLOW),
        (OBSERVE, libc::SYS_bind, &[3, 0, 2], EPERM),
        (OBSERVE, libc::SYS_connect, &[3, 0, 16], EPERM),
        (DIAGNOSE, libc::SYS_connect, &[3, 0, 16], ALLOW),
        (OBSERVE, libc::SYS_clone, &[17], ALLOW),
        (OBSERVE, libc::SYS_clone, &[0x1000_0011], EPERM),
        (OBSERVE, libc::SYS_clone, &[0x0002_0011], EPERM),
        (OBSERVE, libc::SYS_clone3, &[], ENOSYS),
        (OBSERVE, libc::SYS_unshare, &[0x80], EPERM),
        (OBSERVE, libc::SYS_unshare, &[0x400], ALLOW),
        (OBSERVE, libc::SYS_ioctl, &[0, 0x5412], EPERM),
        (OBSERVE, libc::SYS_ioctl, &[0, 0x5412 | high], EPERM),
        (OBSERVE, libc::SYS_ioctl, &[0, 0x5413], ALLOW),
        (OBSERVE, libc::SYS_ioctl, &[0, 0x4008_6602], EPERM),
        (OBSERVE, libc::SYS_flock, &[3, 2], EPERM),
        (OBSERVE, libc::SYS_flock, &[3, 6], EPERM),
        (OBSERVE, libc::SYS_flock, &[3, 8], ALLOW),
        (CHANGE, libc::SYS_flock, &[3, 2], ALLOW),
        (OBSERVE, libc::SYS_syslog, &[3], ALLOW),
        (OBSERVE, libc::SYS_syslog, &[5], EPERM),
        (OBSERVE, libc::SYS_syslog, &[2], EPERM),
        (OBSERVE, libc::SYS_prlimit64, &[0, 7, 5], ALLOW),
        (OBSERVE, libc::SYS_prlimit64, &[9, 7, 0], ALLOW),
        (OBSERVE, libc::SYS_prlimit64, &[9, 7, 5], EPERM),
        (OBSERVE, libc::SYS_prlimit64, &[9, 7, high], EPERM),
        (OBSERVE, libc::SYS_mknodat, &[0, 0, 0o020_666], EPERM),
        (OBSERVE, libc::SYS_mknodat, &[0, 0, 0o010_666], ALLOW),
        (OBSERVE, libc::SYS_fchmod, &[], EPERM),
        (CHANGE, libc::SYS_fchmod, &[], ALLOW),
        (CHANGE, libc::SYS_mount, &[], EPERM),
        (CHANGE, libc::SYS_socket, &[1, 1, 0], EPERM),
        (OBSERVE, libc::SYS_io_uring_setup, &[], EPERM),
        (OBSERVE, libc::SYS_open_by_handle_at, &[], EPERM),
        (OBSERVE, 463, &[], ENOSYS),
        (OBSERVE, 9999, &[], ENOSYS),
        (OBSERVE, 400, &[], ENOSYS),
        (OBSERVE, libc::SYS_personality, &[0xffff_ffff], ALLOW),
        (OBSERVE, libc::SYS_personality, &[0x0040_0000], EPERM),
    ];
    for (profile, number, arguments, wanted) in table {
        let got = call(*profile, *number, arguments);
        assert_eq!(got, *wanted, "{profile:?} call {number} {arguments:x?}: {got:#x}");
    }
    eprintln!("system call filter: {} calls judged", table.len());
}

#[test]
fn another_architecture_is_killed_and_x32_does_not_exist() {
    for profile in [OBSERVE, DIAGNOSE, CHANGE] {
        let program = assemble(profile);
        assert_eq!(run(&program, 0x4000_0003, 0, [0; 6]), KILL);
        assert_eq!(run(&program, NATIVE, X32, [0; 6]), ENOSYS);
        assert!(program.len() < 4096, "the kernel takes no longer program");
    }
}

proptest! {
    #[test]
    fn every_call_gets_an_answer(number in any::<u32>(), arch in any::<u32>(), arguments in any::<[u64; 6]>()) {
        for profile in [OBSERVE, DIAGNOSE, CHANGE] {
            let program = assemble(profile);
            for arch in [arch, NATIVE] {
                let got = run(&program, arch, number, arguments);
                let known = [ALLOW, KILL, EPERM, ENOSYS].contains(&got);
                prop_assert!(known, "{got:#x}");
                if arch != NATIVE {
                    prop_assert_eq!(got, KILL);
                }
            }
        }
    }
}
