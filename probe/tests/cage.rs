//! The cage on this machine's own kernel: output, ends, secrets, limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_probe::cage::{Cage, Confine, Limits, Order, Secrets};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn cage() -> Cage {
    Cage::with_helper(env!("CARGO_BIN_EXE_legator-probe"))
}

fn order(confine: Confine, argv: &[&str]) -> Order {
    Order {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        confine,
        timeout: Duration::from_secs(30),
        secrets: Arc::new(Secrets::new(Path::new("/var/lib/legator-probe-none"), &[]).unwrap()),
        limits: Limits::default(),
    }
}

#[test]
fn this_kernel_has_every_layer() {
    let report = cage().report();
    assert!(report.is_full(), "{report:?}");
}

#[tokio::test]
async fn a_program_runs_at_observe_with_its_output_and_end() {
    let argv = [
        "sh",
        "-c",
        "id -un; cat /etc/shadow | wc -c; grep Cap /proc/self/status; echo err >&2; ls -la /dev; env; exit 7",
    ];
    let (exit, out, err) = cage().capture(order(Confine::Observe, &argv)).await.unwrap();
    eprintln!("{exit:?}\n{}\n{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert_eq!((exit.code, exit.signal), (Some(7), None));
}
