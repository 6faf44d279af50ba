//! Settings as `legator config check` prints them.
//!
//! Owns the text. Never prints a secret.

use super::{Auth, Place, Settings};

/// One `name = value` a line.
pub fn show(settings: &Settings) -> String {
    let place = match &settings.place {
        Place::Dir(dir) => dir.display().to_string(),
        Place::Memory => ":memory:".to_owned(),
    };
    let listen: Vec<String> = settings.listen.iter().map(ToString::to_string).collect();
    let tls = settings.tls.as_ref();
    let mut lines = vec![
        format!("data_dir = {place:?}"),
        format!("signing_key = \"{:?}\"", settings.signing_key),
        format!("auth = {}", settings.auth == Auth::Required),
        format!("listen = {listen:?}"),
        format!("tls_cert = {:?}", tls.map_or_else(String::new, |tls| tls.cert.display().to_string())),
        format!("tls_key = {:?}", tls.map_or_else(String::new, |tls| tls.key.display().to_string())),
        format!("public_url = {:?}", settings.public_names),
        format!("log = {:?}", settings.log),
    ];
    for (name, value) in &settings.llm {
        let secret = name.ends_with("_KEY");
        let shown = if secret { "(set)" } else { value.as_str() };
        lines.push(format!("{name} = {shown:?}"));
    }
    lines.join("\n")
}
