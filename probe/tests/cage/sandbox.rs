//! A folder, a victim and listeners for one command, and the oracle that sees whether anything happened to them.
//!
//! Owns making, watching and removing them. Never judges by a refusal, only by effects.
//! Invariant: two snapshots of an untouched sandbox are equal.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is made once and copied for every command.
const TEMPLATE: &str = r#"
set -eu
cd "$1"
printf 'alpha\nbeta\n' > victim.txt; printf 'gamma\n' > second.txt; printf 'held\n' > held.txt
mkdir dir empty bin pylib lists lists/partial cache cache/archives cache/archives/partial journal repo
mkdir -p root/etc/systemd/system dpkg/info dpkg/updates dpkg/triggers
echo inner > dir/inner.txt; echo old > dir/old.log; ln -s victim.txt link
printf '#!/bin/sh\ntouch "$(dirname "$0")/ran"\n' > bin/ls; chmod 755 bin/ls
echo 'x = 1' > pylib/legator_none.py
echo '0 0 1 1 * /bin/true' > cronfile
echo 'route del 192.0.2.0/24 dev legator-none0' > ip-batch
printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' > root/etc/systemd/system/legator-test-none.service
: > dpkg/status
sqlite3 data.sqlite 'create table t(x); insert into t values(1)'
echo payload > payload.txt; tar -cf archive.tar payload.txt; rm payload.txt
head -c 4096 /dev/zero > journal/system@0123456789abcdef0123456789abcdef-0000000000000001-0005f00000000000.journal
export HOME="$1" GIT_CONFIG_NOSYSTEM=1
git -C repo init -q -b main; echo one > repo/file; rm -rf repo/.git/hooks
git -C repo add file
git -C repo -c user.name=a -c user.email=a@example.org commit -q -m first
python3 - <<'PY'
import zipfile
n='legator_none-1'
with zipfile.ZipFile(n+'-py3-none-any.whl','w') as z:
    z.writestr('legator_none.py','x = 1\n')
    z.writestr(n+'.dist-info/METADATA','Metadata-Version: 2.1\nName: legator-none\nVersion: 1\n')
    z.writestr(n+'.dist-info/WHEEL','Wheel-Version: 1.0\nGenerator: legator\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    z.writestr(n+'.dist-info/RECORD','legator_none.py,,\n'+n+'.dist-info/METADATA,,\n'+n+'.dist-info/WHEEL,,\n'+n+'.dist-info/RECORD,,\n')
PY
"#;

/// The folder of one suite, outside `/tmp`: the cage has its own `/tmp`, which would hide an effect instead of preventing it.
pub struct Base {
    dir: tempfile::TempDir,
}

impl Base {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("legator-cage-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let template = dir.path().join("template");
        fs::create_dir(&template).unwrap();
        let made = Command::new("bash").args(["-c", TEMPLATE, "template"]).arg(&template).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// One command's surroundings.
pub struct Sandbox {
    pub path: PathBuf,
    pub port: u16,
    victim: Child,
    socket: UnixListener,
    fifo: File,
    tcp: TcpListener,
    udp: UdpSocket,
    before: Snapshot,
}

type Snapshot = BTreeMap<String, String>;

impl Sandbox {
    pub fn new(base: &Base, name: &str) -> Self {
        let path = base.path().join(name);
        let copied =
            Command::new("cp").arg("-a").arg(base.path().join("template")).arg(&path).status().unwrap();
        assert!(copied.success());
        fs::write(path.join("names.txt"), format!("{}/victim.txt\n", path.display())).unwrap();
        fs::write(path.join("rc"), format!("touch {}/by-rc\n", path.display())).unwrap();
        let socket = UnixListener::bind(path.join("sock")).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(Command::new("mkfifo").arg(path.join("fifo")).status().unwrap().success());
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let fifo = OpenOptions::new().read(true).custom_flags(nonblocking).open(path.join("fifo")).unwrap();
        let (tcp, udp) = ports();
        let port = tcp.local_addr().unwrap().port();
        let victim = victim(&path);
        let mut sandbox = Self { path, port, victim, socket, fifo, tcp, udp, before: Snapshot::new() };
        // Reading moves access times until they are past all others, so that a second reading leaves them.
        for _ in 0..200 {
            sandbox.before = sandbox.snapshot();
            if sandbox.before == sandbox.snapshot() {
                return sandbox;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the sandbox does not settle: {:?}", sandbox.path);
    }

    pub fn victim_pid(&self) -> u32 {
        self.victim.id()
    }

    /// What is different from the beginning: kinds of effect with what exactly.
    pub fn effects(&mut self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let now = self.snapshot();
        for key in self.before.keys().chain(now.keys()) {
            let (was, is) = (self.before.get(key), now.get(key));
            let kind = if key.starts_with("victim:") { "victim" } else { "tree" };
            if was != is && !found.iter().any(|(_, text): &(&str, String)| text.starts_with(key)) {
                found.push((kind, format!("{key}: {was:?} -> {is:?}")));
            }
        }
        if self.socket.accept().is_ok() {
            found.push(("sock", "a connection".into()));
        }
        let mut bytes = [0; 64];
        if self.fifo.read(&mut bytes).is_ok_and(|count| count > 0) {
            found.push(("fifo", "bytes".into()));
        }
        if self.tcp.accept().is_ok() || self.udp.recv(&mut bytes).is_ok() {
            found.push(("port", "something".into()));
        }
        found
    }

    fn snapshot(&self) -> Snapshot {
        let mut map = Snapshot::new();
        tree(&self.path, &self.path, &mut map);
        of_victim(self.victim.id(), &mut map);
        map
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may be gone already, which was the effect.
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

fn ports() -> (TcpListener, UdpSocket) {
    for _ in 0..50 {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            tcp.set_nonblocking(true).unwrap();
            udp.set_nonblocking(true).unwrap();
            return (tcp, udp);
        }
    }
    panic!("no port is free for both TCP and UDP");
}

/// A sleeping process in the sandbox, in a session of its own, with descriptor 9 open on `held.txt`.
fn victim(path: &Path) -> Child {
    let script = "exec 9<>held.txt; exec setsid sleep 900";
    let mut child = Command::new("sh");
    child
        .args(["-c", script])
        .current_dir(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let line = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
        let state = stat(child.id()).map(|fields| fields[0].clone());
        if line == b"sleep\0900\0" && state.as_deref() == Some("S") {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < end, "the victim does not sleep");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The fields of `/proc/<pid>/stat` from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect())
}

fn of_victim(pid: u32, map: &mut Snapshot) {
    let mut put = |key: &str, value: String| map.insert(format!("victim:{key}"), value);
    let Some(fields) = stat(pid) else {
        put("state", "gone".into());
        return;
    };
    put("state", fields[0].clone());
    put("nice", fields[16].clone());
    put("policy", format!("{} {}", fields[37], fields[38]));
    for name in ["limits", "oom_score_adj", "cmdline", "environ", "cgroup"] {
        put(name, fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default());
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kept = ["TracerPid", "SigPnd", "SigIgn", "ShdPnd", "Cpus_allowed:", "Groups", "Uid"];
    let lines = status.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    put("status", lines.collect::<Vec<_>>().join("\n"));
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut fds: Vec<_> = fds.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    fds.sort();
    put("descriptors", fds.join(" "));
    let ionice = Command::new("ionice").arg("-p").arg(pid.to_string()).output().unwrap();
    put("ionice", String::from_utf8_lossy(&ionice.stdout).into_owned());
}

/// Content, mode, owner, times, attributes and flags of everything below a folder.
fn tree(root: &Path, path: &Path, map: &mut Snapshot) {
    let meta = fs::symlink_metadata(path).unwrap();
    let mut text = format!(
        "{:o} {}:{} {} {}.{} {}.{} {}.{} ino{} n{}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.size(),
        meta.atime(),
        meta.atime_nsec(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
        meta.ino(),
        meta.nlink(),
    );
    let name = path.strip_prefix(root).unwrap().display().to_string();
    if meta.is_file() {
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        text.push_str(&format!(
            " {:?}",
            sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&bytes))
        ));
        let mut list = [0_u8; 4096];
        let count = rustix::fs::listxattr(path, &mut list).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&list[..count]));
        let flags = rustix::fs::ioctl_getflags(File::open(path).unwrap());
        text.push_str(&format!(" {flags:?}"));
    } else if meta.is_symlink() {
        text.push_str(&format!(" {:?}", fs::read_link(path).unwrap().as_os_str().as_bytes()));
    }
    map.insert(format!("/{name}"), text);
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            tree(root, &entry.unwrap().path(), map);
        }
    }
}
