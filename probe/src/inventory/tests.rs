//! What files of a host say, and what is cut.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use legator_core::inventory::{Listing, Package};

#[test]
fn package_databases_are_read() {
    let dpkg = "Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: half\nStatus: install ok half-configured\nVersion: 2\n";
    let found = software::dpkg(dpkg);
    assert_eq!(
        found,
        vec![Package { name: "openssl".into(), version: "3.0.1".into(), arch: "amd64".into() }]
    );
    assert_eq!(software::apk("P:musl\nV:1.2\nA:x86_64\n\nP:busybox\nV:1\nA:x86_64\n").len(), 2);
    let simulated = "Inst a [1] (2 Debian:12/stable [amd64])\nInst b [1] (2 Debian-Security:12/stable-security)\nConf a\n";
    assert_eq!(software::apt(simulated), (2, 1));
}

#[test]
fn units_users_rules_and_schedules_are_read() {
    let output = "nginx.service loaded active running A web server\n● bad.service loaded failed failed Bad\nx.service not-found inactive dead x\n";
    let units = software::units(output);
    assert_eq!(
        units.iter().map(|u| (u.name.as_str(), u.state.as_str())).collect::<Vec<_>>(),
        [("nginx", "active"), ("bad", "failed")]
    );
    let passwd = "root:x:0:0:r:/root:/bin/bash\neve:x:1000:1000::/home/eve:/bin/sh\nbob:x:1001:27::/home/bob:/bin/sh\nwww:x:33:33::/:/usr/sbin/nologin\nbroken\n";
    let rules = vec!["%sudo ALL=(ALL:ALL) ALL".to_owned()];
    let users = people::parse_users(passwd, "sudo:x:27:eve\nother:x:33:\n", &rules);
    assert_eq!(
        users.iter().map(|u| (u.sudo, u.login)).collect::<Vec<_>>(),
        [(true, true), (true, true), (true, true), (false, false)]
    );
    let line =
        people::cron_line("/etc/crontab", "17 * * * * root run-parts /etc/cron.hourly", people::Owner::Named);
    let line = line.unwrap();
    assert_eq!((line.when.as_str(), line.what.as_str()), ("17 * * * *", "run-parts /etc/cron.hourly"));
    assert!(people::cron_line("x", "PATH=/bin:/usr/bin a b c d e", people::Owner::Named).is_none());
    assert_eq!(people::cron_line("x", "@daily /bin/true", people::Owner::OfFile).unwrap().when, "@daily");
}

#[test]
fn the_first_value_of_ssh_counts() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let ssh = people::parse_ssh(&lines("permitrootlogin yes\nPermitRootLogin no\nPasswordAuthentication=no"));
    assert_eq!((ssh.permit_root_login.as_str(), ssh.password_authentication), ("yes", false));
    let ssh = people::parse_ssh(&[]);
    assert_eq!((ssh.permit_root_login.as_str(), ssh.password_authentication), ("prohibit-password", true));
}

#[test]
fn only_a_cloud_is_a_cloud() {
    assert_eq!(place::provider("QEMU Standard PC"), "");
    assert_eq!(place::provider("Amazon EC2 m5.large"), "aws");
    assert_eq!(place::provider("Microsoft Corporation Virtual Machine"), "");
}

#[test]
fn every_group_of_parts_fits_a_frame() {
    let package = |n: usize| Package {
        name: format!("package-number-{n}"),
        version: "1:2.3.4-5+deb12u1".into(),
        arch: "amd64".into(),
    };
    let packages = Listing::bounded((0..20_000).map(package).collect());
    assert!(packages.cut && packages.total == 20_000);
    let part = serde_json::to_value(&packages).unwrap();
    let parts = Parts::from([
        ("os".to_owned(), Value::Null),
        ("packages".to_owned(), part.clone()),
        ("services".to_owned(), part),
    ]);
    let groups = grouped(parts);
    assert_eq!(groups.iter().map(Parts::len).sum::<usize>(), 3);
    for group in groups {
        let bytes = serde_json::to_vec(&group).unwrap().len();
        assert!(bytes / 3 * 4 + 4096 < legator_wire::frame::FRAME_BYTES_MAX, "{bytes}");
    }
}

#[test]
fn two_thousand_processes_are_no_burden() {
    let sockets = net::sockets();
    assert!(sockets.items.len() <= legator_core::inventory::ITEMS_MAX);
}
