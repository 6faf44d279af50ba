//! Under which names a server answers: every address, in every odd form of a name, over plain sockets.

use super::plain;
use super::world::{Who, World};

/// How the request names the server: its target's beginning, its headers, and whether it is answered.
struct Form {
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    answered: bool,
}

const fn form(
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    answered: bool,
) -> Form {
    Form { target, headers, answered }
}

const FORMS: [Form; 34] = [
    form("", &[("Host", "localhost")], true),
    form("", &[("Host", "LocalHost:8080")], true),
    form("", &[("Host", "127.0.0.1")], true),
    form("", &[("Host", "127.8.9.1:1")], true),
    form("", &[("Host", "[::1]:8080")], true),
    form("http://localhost", &[("Host", "localhost")], true),
    form("", &[("Host", "localhost"), ("X-Forwarded-Host", "evil.example")], true),
    form("", &[("Host", "localhost"), ("Forwarded", "host=evil.example")], true),
    form("", &[("Host", "localhost"), ("Origin", "http://localhost")], true),
    form("", &[("Host", "localhost.")], false),
    form("", &[("Host", "localhost.localdomain")], false),
    form("", &[("Host", "user@localhost")], false),
    form("", &[("Host", "localhost@evil.example")], false),
    form("", &[("Host", "localhost:80@evil.example")], false),
    form("", &[("Host", "0.0.0.0")], false),
    form("", &[("Host", "127.1")], false),
    form("", &[("Host", "2130706433")], false),
    form("", &[("Host", "0x7f.0.0.1")], false),
    form("", &[("Host", "127.0.0.1.nip.io")], false),
    form("", &[("Host", "[::]")], false),
    form("", &[("Host", "[::ffff:10.0.0.1]")], false),
    form("", &[("Host", "[fe80::1%25lo]")], false),
    form("", &[("Host", "")], false),
    form("", &[("Host", "localhost:")], false),
    form("", &[("Host", "localhost:99999")], false),
    form("", &[("Host", "localhost evil.example")], false),
    form("", &[("Host", "evil.example"), ("X-Forwarded-Host", "localhost")], false),
    form("", &[("Host", "localhost"), ("Host", "evil.example")], false),
    form("http://evil.example", &[("Host", "localhost")], false),
    form("http://localhost", &[("Host", "evil.example")], false),
    form("http://user@localhost", &[("Host", "localhost")], false),
    form("", &[("Host", "localhost"), ("Origin", "http://localhost.")], false),
    form("", &[("Host", "localhost"), ("Origin", "http://user@localhost")], false),
    form("", &[("Host", "localhost"), ("Origin", "http://localhost:1")], false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_answers_under_its_own_names_only() {
    let world = World::new().await;
    let document = legator_api::openapi();
    let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    paths.extend(["/openapi.json", "/probe/v1/connect", "/nowhere", "/api/v1/none"].map(str::to_owned));
    let key = format!("Bearer {}", world.keys[&Who::Viewer]);
    let (mut count, mut wrong) = (0, Vec::new());
    for path in &paths {
        // Streams have no end to wait for, and a socket of probes says nothing before its greeting: their heads are enough.
        let path = path.replace("{id}", &world.own.host).replace(['{', '}'], "");
        for Form { target, headers, answered } in &FORMS {
            let mut headers: Vec<(String, String)> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            headers.push(("Authorization".to_owned(), key.clone()));
            let bytes = plain::request(world.at, ("GET", &format!("{target}{path}")), &headers, b"");
            let status = plain::send(world.at, &bytes).await.status;
            count += 1;
            let turned_away = matches!(status, Some(400 | 403 | 421));
            let expected = if *answered { !matches!(status, None | Some(421)) } else { turned_away };
            if !expected {
                wrong.push(format!("GET {target}{path} {headers:?}: {status:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("names of the server: {count} cases over {} addresses", paths.len());
    world.end().await;
}
