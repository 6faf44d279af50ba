//! What a host's own files, programs, peers and settings say.
//!
//! Promises: a reader answers, with about as much as it was given; a request that is built has no line that was put in; settings that count
//! have a quorum which can be met; what changed is told in a bounded number of lines.

use super::text;
use crate::Target;
use crate::dice::Dice;
use legator_core::inventory::{self, DIFFERENCES_MAX, PART_BYTES_MAX};
use legator_core::verbs;
use legator_probe::config::Settings;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) const HOST: Target = Target {
    name: "host",
    hold: host,
    examples: host_examples,
    words: &[
        "Package: ",
        "Status: install ok installed",
        "Version: ",
        "-----BEGIN CERTIFICATE-----\n",
        "0A",
        "\\040",
        "nameserver ",
        "\r\n\r\n",
        "Inst ",
        "loaded active",
    ],
};
pub(super) const PROBE_TOML: Target = Target {
    name: "probe-toml",
    hold: probe_toml,
    examples: toml_examples,
    words: &[
        "max_level = \"",
        "quorum = ",
        "[[approver]]\n",
        "person = \"",
        "keys = [\"",
        "secrets = [\"/",
        "[labels]\n",
        "state_dir = \"/",
    ],
};
pub(super) const INVENTORY: Target = Target {
    name: "inventory",
    hold: inventory,
    examples: inventory_examples,
    words: &[
        "\"items\":[",
        "\"part\":\"",
        "packages",
        "sockets",
        "\"old\":",
        "\"new\":",
        "\"name\":\"",
        "null",
    ],
};

/// A line with a reader's name, then what it reads; without such a line every reader reads all.
fn host(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let name = text(parts.next().unwrap_or_default());
    match legator_probe::foreign::readers().find(|(known, _)| *known == name) {
        Some((name, read)) => one(name, *read, parts.next().unwrap_or_default()),
        None => legator_probe::foreign::readers().for_each(|(name, read)| one(name, *read, bytes)),
    }
}

fn one(name: &str, read: fn(&[u8]) -> String, bytes: &[u8]) {
    let answer = read(bytes);
    assert!(
        answer.len() <= bytes.len() * 64 + 4096,
        "{name} makes {} bytes of {}",
        answer.len(),
        bytes.len()
    );
    match name {
        "journal-line" if !answer.is_empty() => assert_eq!(read(answer.as_bytes()), answer, "no stable form"),
        "http-request" if !answer.is_empty() => {
            let args = json!({"url": text(bytes)});
            if verbs::parse("net.http", &args, None).is_ok() {
                let breaks = answer.matches("\r\n").count();
                let lone = answer.matches(['\r', '\n']).count() != breaks * 2;
                assert!(!lone && answer.ends_with("\r\n\r\n") && answer.matches("\r\n\r\n").count() == 1);
                assert!(breaks <= 8, "a header was put in: {answer:?}");
            }
        }
        _ => {}
    }
}

fn host_examples() -> Vec<Vec<u8>> {
    let texts = [
        "proc-stat\n4242 (a (b) c) S 1 4242 4242 0 -1 4194560 1 2 3 4 500 600 7 8 20 0 1 0 123456 7890 100 18446744073709551615 0",
        "proc-net-tcp\n  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0",
        "proc-net-udp6\n  0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 777 2",
        "proc-net-unix\nffff8881: 00000002 00000000 00010000 0001 01 23456 /run/x.sock",
        "proc-cgroup\n0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
        "proc-mountinfo\n36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw",
        "proc-mounts\n/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /a\\040b tmpfs ro 0 0",
        "dpkg-status\nPackage: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
        "dpkg-packages\nPackage: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1\n\n",
        "apk-installed\nP:musl\nV:1.2\nA:x86_64\n\nP:busybox\nV:1\n",
        "apk-packages\nP:musl\nV:1.2\nA:x86_64\n\n",
        "name-version\nopenssl 3.0.1\nlibc6 2.36\n",
        "apt-simulated\nInst a [1] (2 Debian:12/stable [amd64])\nInst b [1] (2 Debian-Security:12/stable-security)\n",
        "hosts-file\n127.0.0.1 localhost\n192.0.2.7 web-03 # comment\n::1 web-03\n",
        "resolv-conf\nnameserver 127.0.0.53\nsearch a.example b.example\noptions ndots:1\n",
        "http-answer\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "http-answer\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        "http-request\nhttp://[::1]:8080/a?b=c#d",
        "http-request\nhttps://example.com",
        "init-script\nDAEMON=/usr/sbin/nginx\nNAME=nginx\nPIDFILE=/run/$NAME.pid\n",
        "pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "systemd-units\nnginx.service loaded active running A web server\n\u{25cf} bad.service loaded failed failed Bad\n",
        "passwd\nroot:x:0:0:r:/root:/bin/bash\neve:x:1000:1000::/home/eve:/bin/sh\n",
        "group\nsudo:x:27:eve\n%sudo ALL=(ALL:ALL) ALL\n",
        "sshd-config\npermitrootlogin yes\nPasswordAuthentication=no\n",
        "crontab\n17 * * * * root run-parts /etc/cron.hourly\n@daily root /bin/true\nPATH=/bin\n",
        "firmware\nAmazon EC2 m5.large",
        "problem-body\n{\"code\":\"bad-token\",\"detail\":\"no\",\"hint\":\"x\"}",
    ];
    let binary: [&[u8]; 3] = [
        b"dns-reply\n\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x06web-03\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01",
        b"x509\n0\x1e0\x1c\x02\x01\x010\x000\x000\x1e\x17\x0d260102030405Z\x17\x0d270102030405Z0\x00",
        b"netlink-addresses\n\x20\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x18\x80\x00\x01\x00\x00\x00\x08\x00\x01\x00\x7f\x00\x00\x01",
    ];
    let all = texts.iter().map(|text| text.as_bytes().to_vec());
    let mark = "{\"r\":\"mark\",\"high_water\":\"2026-01-01T00:00:00.000Z\"}";
    let check = legator_core::digest::Digest::of(mark.as_bytes()).hex();
    let line = format!("journal-line\n{} {mark}\n", check.get(..16).unwrap_or_default());
    all.chain(binary.iter().map(|bytes| bytes.to_vec())).chain([line.into_bytes()]).collect()
}

fn probe_toml(bytes: &[u8]) {
    let Ok(settings) = Settings::parse(&text(bytes)) else { return };
    let quorum = usize::from(settings.quorum);
    let persons: BTreeSet<String> =
        settings.approvers.iter().map(|approver| approver.person.trim().to_lowercase()).collect();
    assert_eq!(persons.len(), settings.approvers.len(), "one person stands here twice");
    let keys: Vec<[u8; 32]> =
        settings.approvers.iter().flat_map(|approver| approver.keys.iter().map(|key| key.bytes())).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key is two persons'");
    match settings.approvers.is_empty() {
        true => assert_eq!(quorum, 0, "a quorum of nobody"),
        false => assert!((1..=persons.len()).contains(&quorum), "a quorum that nobody or no crowd can meet"),
    }
    assert!(settings.approvers.iter().all(|approver| !approver.keys.is_empty()));
    assert!(settings.state_dir.iter().chain(&settings.ca).all(|path| path.is_absolute()));
}

fn toml_examples() -> Vec<Vec<u8>> {
    let key = |n: u8| {
        use legator_wire::keys::Signer as _;
        legator_wire::keys::ApproverKey::from_secret(&[n; 32]).public().hex()
    };
    let (a, b) = (key(101), key(102));
    let list = format!(
        "quorum = 2\n[[approver]]\nperson = \"alice\"\nkeys = [\"{a}\"]\n[[approver]]\nperson = \"bob\"\nkeys = [\"{b}\"]\n"
    );
    let level = "max_level = \"observe\"\n";
    let texts = [
        level.to_owned(),
        format!("{level}{list}"),
        format!("{level}{}", list.replace("quorum = 2", "quorum = 3")),
        format!("{level}{}", list.replace("quorum = 2", "quorum = 0")),
        format!("{level}{}", list.replace(&b, &a)),
        format!("{level}{}", list.replace("bob", "Alice ")),
        format!("{level}quorum = 1\n"),
        format!("{level}quorum = 1\napprover = []\n"),
        format!("{level}secrets = [\"/srv/keys/*\"]\n"),
        format!("{level}secrets = []\n"),
        format!(
            "{level}server = \"https://legator.example\"\nname = \"web-03\"\nstate_dir = \"/var/lib/x\"\nca = \"/etc/ca.pem\"\n[labels]\nenv = \"prod\"\n"
        ),
        format!("{level}state_dir = \"relative\"\n"),
        format!("{level}server = \" \"\n"),
        "max_level = \"root\"\n".to_owned(),
        "max_level = 1\n".to_owned(),
        format!("{level}unknown = 1\n"),
        format!("{level}{level}"),
        String::new(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// `{"part", "old", "new"}`; also what a write over `new` would show as the difference.
fn inventory(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let part = value["part"].as_str().unwrap_or("packages");
    let (old, new) = (&value["old"], &value["new"]);
    let lines = inventory::differences(part, old, new);
    assert!(lines.len() <= DIFFERENCES_MAX, "{} lines", lines.len());
    assert!(old != new || lines.is_empty(), "nothing changed, and it is told");
    if inventory::acceptable(part, new) {
        assert!(inventory::PARTS.contains(&part) && new.to_string().len() <= PART_BYTES_MAX);
    }
    drop(legator_core::health::Recorded::new(None, &[(part.to_owned(), new.clone())].into()));
    let mut dice = Dice::new(part.as_bytes());
    let content = ["", "one\n", "one\ntwo\n", part][dice.of(4)];
    if let Ok(call) = verbs::parse("file.write", &json!({"path": "/etc/motd", "content": content}), None) {
        // Whoever shows it makes hidden characters visible; here it is as the file has it, and bounded.
        let difference = verbs::difference(&call, new);
        assert!(
            difference.len() <= new.to_string().len() * 4 + content.len() * 4 + 1024,
            "{} bytes",
            difference.len()
        );
    }
}

fn inventory_examples() -> Vec<Vec<u8>> {
    let package = |version: &str| json!({"items": [{"name": "openssl", "version": version, "arch": "amd64"}], "total": 1, "cut": false});
    let values = [
        json!({"part": "packages", "old": package("3.0.1"), "new": package("3.0.2")}),
        json!({"part": "packages", "old": null, "new": package("3.0.2")}),
        json!({"part": "packages", "old": package("1"), "new": {"items": [], "total": 0, "cut": false}}),
        json!({"part": "cpu", "old": {"cores": 2, "model": "x"}, "new": {"cores": 4, "model": "x"}}),
        json!({"part": "sockets", "old": {"items": []}, "new": {"items": [{"protocol": "tcp", "address": "::", "port": 22}]}}),
        json!({"part": "services", "old": {"items": [{"name": "a", "state": "active"}]}, "new": {"items": [{"name": "a", "state": "failed"}]}}),
        json!({"part": "none", "old": 1, "new": [1, 2]}),
        json!({"part": "users", "old": {"items": [1, null]}, "new": {"items": "x"}}),
        json!({"part": "x", "old": {}, "new": {"exists": true, "content": "one\nthree\n", "text": "one\nthree\n"}}),
        json!({"part": "xx", "old": {}, "new": {"exists": true, "content_b64": "/w=="}}),
        json!({"part": "updates", "old": {"pending": 1}, "new": {"pending": 2, "reboot": true}}),
        json!({"part": "certificates", "old": {"items": []}, "new": {"items": [{"path": "/x.pem", "not_after": "2026-01-01T00:00:00.000Z"}]}}),
    ];
    values.iter().map(|value| value.to_string().into_bytes()).collect()
}
