//! Runs the program and keeps what it said, in a form that is the same each time.

use legator_testkit::process::binary;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub bytes: Vec<u8>,
}

impl Said {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// The first id of this kind that it told.
    pub fn id(&self, kind: &str) -> String {
        let all = format!("{} {}", self.stderr, self.stdout);
        let found =
            all.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| word.starts_with(kind));
        found.unwrap_or_else(|| panic!("no {kind} in {all}")).to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program with its settings in a folder.
pub struct Ctl {
    pub url: String,
    pub dir: PathBuf,
    pub key: Option<String>,
}

impl Ctl {
    pub fn new(url: &str, dir: &Path) -> Self {
        Self { url: url.to_owned(), dir: dir.join("ctl"), key: None }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("legatorctl"));
        command.args(args).stdin(Stdio::null());
        for name in ["NO_COLOR", "COLUMNS", "CLICOLOR_FORCE", "LEGATOR_CONTEXT", "LEGATOR_CA", "LEGATOR_KEY"]
        {
            command.env_remove(name);
        }
        command.env("LEGATOR_SERVER", &self.url).env("LEGATOR_CONFIG_DIR", &self.dir);
        if let Some(key) = &self.key {
            command.env("LEGATOR_KEY", key);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("legatorctl starts"))
    }

    /// Runs it and demands this exit code.
    pub fn expect(&self, code: i32, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, code, "legatorctl {args:?}\n{}\n{}", said.stdout, said.stderr);
        said
    }
}

/// A record of commands and what they said, compared with a file.
#[derive(Default)]
pub struct Record {
    text: String,
    replaced: Vec<(String, String)>,
    pub commands: usize,
}

impl Record {
    pub fn new(replaced: &[(&str, &str)]) -> Self {
        let pairs = replaced.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        Self { replaced: pairs.collect(), ..Self::default() }
    }

    /// Runs a command, demands this exit code, and records it.
    pub fn step(&mut self, ctl: &Ctl, code: i32, args: &[&str]) -> Said {
        let said = ctl.expect(code, args);
        let shown = args.iter().map(|arg| {
            if arg.contains([' ', '*', '"', '\n']) { format!("{arg:?}") } else { (*arg).to_owned() }
        });
        let line = shown.collect::<Vec<_>>().join(" ");
        self.text.push_str(&format!("$ legatorctl {line}\n{}", said.stdout));
        self.text.extend(said.stderr.lines().map(|line| format!("! {line}\n")));
        self.text.push_str(&format!("= {code}\n\n"));
        self.commands += 1;
        said
    }

    /// Compares with the file of this name.
    pub fn compare(self, name: &str) -> usize {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/snapshots").join(name);
        let mut text = self.text;
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        let text = same(&text);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &text).unwrap();
            return self.commands;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text {
            let differs = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
            panic!("{name} differs, UPDATE_SNAPSHOTS=1 writes it anew; first {differs:#?}\n\nnow:\n{text}");
        }
        self.commands
    }
}

/// The text with ids, digests and times made the same, each as long as before.
pub fn same(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut place = 0;
    while place < chars.len() {
        let hex = chars[place..].iter().take_while(|c| matches!(c, '0'..='9' | 'a'..='f')).count();
        if hex >= 32 {
            out.push_str(&"x".repeat(hex));
            place += hex;
        } else if is_time(&chars[place..]) {
            out.push_str("0000-00-00T00:00:00.000Z");
            place += 24;
        } else {
            out.push(chars[place]);
            place += 1;
        }
    }
    out
}

fn is_time(chars: &[char]) -> bool {
    let form = "0000-00-00T00:00:00.000Z";
    chars.len() >= form.len()
        && form.chars().zip(chars).all(|(form, c)| if form == '0' { c.is_ascii_digit() } else { form == *c })
}
