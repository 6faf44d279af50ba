//! `cert.list`: certificates in the usual places, and when they end.
//!
//! Owns the walk; the reading of a certificate stands in `x509`. Never reads a private key: files on the list of secrets are left out.
//! Invariant: bounded in files and bytes, and what does not parse is left out.

pub(super) mod x509;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Read as _;

use super::files::open;
use super::{Step, Work, blocking};
use crate::cage::Secrets;

/// Where programs keep their own certificates; the bundles of public authorities are not listed.
const PLACES: &[&str] = &[
    "/etc/letsencrypt/live",
    "/etc/nginx",
    "/etc/apache2",
    "/etc/httpd",
    "/etc/haproxy",
    "/etc/postfix",
    "/etc/dovecot",
    "/etc/pki/tls/certs",
    "/etc/ssl/local",
    "/etc/kubernetes/pki",
    "/etc/docker/certs.d",
    "/var/lib/kubelet/pki",
    "/etc/openvpn",
    "/etc/ldap",
    "/etc/postgresql",
    "/var/lib/postgresql",
];
const FILES_MAX: usize = 2000;
const BYTES_MAX: u64 = 256 * 1024;
const DEPTH_MAX: usize = 4;
/// A file with more certificates is a bundle of authorities.
const PER_FILE_MAX: usize = 20;

pub(super) async fn list(work: &Work<'_>) -> Step<Value> {
    let (secrets, now) = (Arc::clone(&work.host.secrets), work.host.clock.now());
    blocking::run(work.call, move || {
        let mut found = Vec::new();
        for path in files() {
            let certificates = in_file(&path, &secrets);
            if certificates.len() > PER_FILE_MAX {
                continue;
            }
            for certificate in certificates {
                let days = (certificate.ends.seconds() - now.seconds()).div_euclid(86_400);
                found.push(json!({ "path": path.to_string_lossy(), "subject": certificate.subject,
                    "begins": certificate.begins, "ends": certificate.ends, "days_left": days }));
            }
        }
        Ok(json!({ "certificates": found }))
    })
    .await
}

fn files() -> Vec<PathBuf> {
    let mut dirs: Vec<(PathBuf, usize)> = PLACES.iter().map(|place| (PathBuf::from(place), 0)).collect();
    let mut files = Vec::new();
    while let Some((dir, depth)) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().map_while(Result::ok).take(FILES_MAX) {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let named = path
                .extension()
                .is_some_and(|ext| ["pem", "crt", "cer", "cert"].iter().any(|each| ext == *each));
            if is_dir && depth < DEPTH_MAX {
                dirs.push((path, depth + 1));
            } else if named && !is_dir && files.len() < FILES_MAX {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn in_file(path: &Path, secrets: &Secrets) -> Vec<x509::Certificate> {
    let mut bytes = Vec::new();
    let Ok(file) = open::for_reading(path, secrets) else { return Vec::new() };
    if file.take(BYTES_MAX).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => pem(text),
        Err(_) => x509::parse(&bytes).into_iter().collect(),
    }
}

/// The certificates of a PEM file (RFC 7468).
pub(super) fn pem(text: &str) -> Vec<x509::Certificate> {
    let parts = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let bodies = parts.filter_map(|part| part.split_once("-----END CERTIFICATE-----")).map(|(body, _)| body);
    let der = bodies.filter_map(|body| {
        let plain: String = body.split_ascii_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(plain).ok()
    });
    der.filter_map(|der| x509::parse(&der)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    #[test]
    fn a_certificate_made_by_openssl_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (key, out) = (dir.path().join("key"), dir.path().join("a.pem"));
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "10",
        ]);
        command
            .args(["-subj", "/O=Example/CN=web.example.org"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&out);
        assert!(command.output().unwrap().status.success());
        let found = pem(&std::fs::read_to_string(&out).unwrap());
        let certificate = found.first().unwrap();
        assert_eq!((found.len(), certificate.subject.as_str()), (1, "web.example.org"));
        assert_eq!(certificate.ends.seconds() - certificate.begins.seconds(), 10 * 86_400);
        assert!(pem(&std::fs::read_to_string(&key).unwrap()).is_empty());
    }
}
