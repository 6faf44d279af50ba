//! The environment of a program that the probe starts.
//!
//! Owns the whole list. Never passes a variable of the probe on: they may hold tokens, preloads or paths.
//! Invariant: the same order gives the same environment on the same host.

use super::Confine;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names and values, for a program held like this and started by this user.
pub(super) fn environment(confine: &Confine, uid: u32) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("PATH", PATH.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
        ("SHELL", "/bin/sh".to_owned()),
        // Nobody is there to turn a page.
        ("PAGER", "cat".to_owned()),
        ("SYSTEMD_PAGER", "cat".to_owned()),
    ];
    let reads = matches!(confine, Confine::Observe | Confine::Diagnose);
    let home = if reads || uid != 0 { "/tmp" } else { "/root" };
    list.push(("HOME", home.to_owned()));
    if reads {
        // `git status` would write its index for speed.
        list.push(("GIT_OPTIONAL_LOCKS", "0".to_owned()));
    } else {
        list.push(("DEBIAN_FRONTEND", "noninteractive".to_owned()));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_probe_is_passed_on() {
        let names: Vec<_> = environment(&Confine::Observe, 0).into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| !name.starts_with("LEGATOR") && !name.starts_with("LD_")));
        assert!(names.contains(&"PATH"));
    }
}
