//! The system call filter: assembles the rules into a BPF program and installs it.
//!
//! Owns the machine code and the checks of architecture, x32 and unknown numbers. Never decides per call: that is
//! `filter_rules`.
//! Invariant: what is neither known nor allowed is refused; a call that looks the same under another architecture is
//! never judged by this one's numbers.

use super::super::order::Work;
use super::Fault;
use super::filter_rules::{Answer, HIGHEST, Profile, Rule, Test, UNKNOWN, rules};
use seccompiler::sock_filter;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_ATLEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL: u32 = 0x8000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call filter knows x86_64 and aarch64");

/// The bit that marks the x32 calls, which share x86_64's architecture value.
const X32: u32 = 0x4000_0000;

/// Installs the filter on this process and everything it starts.
pub(super) fn apply(work: &Work) -> Result<(), Fault> {
    let program = assemble(Profile { net: work.net(), changes: work.changes() });
    seccompiler::apply_filter(&program).map_err(Fault::at("seccomp"))
}

fn op(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn answer(answer: Answer) -> u32 {
    match answer {
        Answer::Allow => ALLOW,
        Answer::Refuse(errno) => ERRNO | (errno as u32 & 0xffff),
    }
}

/// The whole program for a profile.
pub(super) fn assemble(profile: Profile) -> Vec<sock_filter> {
    let unknown = answer(Answer::Refuse(libc::ENOSYS));
    let mut code = vec![
        op(LOAD, ARCH, 0, 0),
        op(JUMP_EQUAL, NATIVE, 1, 0),
        op(RETURN, KILL, 0, 0),
        op(LOAD, NUMBER, 0, 0),
        op(JUMP_ATLEAST, X32, 0, 1),
        op(RETURN, unknown, 0, 0),
        op(JUMP_GREATER, HIGHEST, 0, 1),
        op(RETURN, unknown, 0, 0),
    ];
    for (first, last) in UNKNOWN {
        // first <= number <= last
        code.extend([
            op(JUMP_ATLEAST, *first, 0, 2),
            op(JUMP_GREATER, *last, 1, 0),
            op(RETURN, unknown, 0, 0),
        ]);
    }
    for Rule { number, tests, otherwise } in rules(profile) {
        let mut body = Vec::new();
        for (test, then) in tests {
            body.extend(test_code(test, answer(then)));
        }
        body.push(op(RETURN, answer(otherwise), 0, 0));
        // The longest body is far below the 255 that a jump reaches.
        code.push(op(JUMP_EQUAL, number, 0, body.len().min(255) as u8));
        code.extend(body);
    }
    code.push(op(RETURN, ALLOW, 0, 0));
    code
}

fn low(argument: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(argument)
}

/// Code that returns `then` when the test holds and goes on behind it when not.
fn test_code(test: Test, then: u32) -> Vec<sock_filter> {
    let hit = op(RETURN, then, 0, 0);
    match test {
        Test::All(parts) => {
            let mut code = Vec::new();
            for (place, (argument, mask, value)) in parts.iter().enumerate() {
                // Over the parts that are left, three instructions each, and the answer.
                let skip = (3 * (parts.len() - place - 1) + 1).min(255) as u8;
                code.extend([
                    op(LOAD, low(*argument), 0, 0),
                    op(AND, *mask, 0, 0),
                    op(JUMP_EQUAL, *value, 0, skip),
                ]);
            }
            code.push(hit);
            code
        }
        Test::AnyBit(argument, bits) => {
            vec![op(LOAD, low(argument), 0, 0), op(JUMP_ANY_BIT, bits, 0, 1), hit]
        }
        Test::Null(argument) => vec![
            op(LOAD, low(argument), 0, 0),
            op(JUMP_EQUAL, 0, 0, 3),
            op(LOAD, low(argument) + 4, 0, 0),
            op(JUMP_EQUAL, 0, 0, 1),
            hit,
        ],
    }
}

#[cfg(test)]
mod tests;
