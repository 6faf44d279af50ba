//! A machine of a test's own: namespaces over a copy-on-write view of this one, with systemd, OpenRC or plain scripts in charge.
//!
//! Owns its processes and mounts: all of them are gone when the value is dropped. Shares the network of the test, nothing else.

use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What starts services on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Systemd,
    OpenRc,
    SysV,
}

impl Init {
    pub fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::SysV => "sysv",
        }
    }
}

/// Where the probe that is tried lies on it.
pub const PROBE: &str = "/opt/legator-probe";
const MARK: &str = "/run/is-a-test-machine";
const USERS: &str = "root:x:0:0::/root:/bin/sh\nprobe:x:64123:64124::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\nmessagebus:x:100:102::/:/bin/false\n";

/// Only mounts, below the folder. Arguments: a folder, the probe, a folder of packages, then those of what goes on inside.
const BOOT: &str = r#"set -e
mount -t tmpfs -o size=2g,mode=755 none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
[ -d ../up ] && [ -d ../work ]
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount --rbind /dev dev
mount -t sysfs -o ro none sys
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp
mount -t cgroup2 none sys/fs/cgroup
mkdir run/lock run/packages
touch run/legator-probe run/is-a-test-machine
mount --bind "$2" run/legator-probe
mount --bind "$3" run/packages
shift 3
exec chroot . sh -c "$@"
"#;
/// On the machine. Arguments: the init, its users, a program that stays.
const INSIDE: &str = r#"set -e
[ -e /run/is-a-test-machine ]
printf '%s' "$2" > /etc/passwd
rm -rf /etc/legator /var/lib/legator-probe /usr/local/bin/legator-probe /var/log/legator-probe.log /etc/fstab
rm -f /lib/systemd/system/*.target.wants/* /etc/systemd/system/*.wants/* /etc/systemd/system/default.target
cp /run/legator-probe /opt/legator-probe
# Whatever second names these have out there, here they have one.
for secret in shadow shadow- gshadow gshadow-; do
    [ ! -e "/etc/$secret" ] || { cp -p "/etc/$secret" /etc/fresh && mv /etc/fresh "/etc/$secret"; }
done
# OpenRC's supervisor asks for the account.
echo 'probe:!:19000:0:99999:7:::' >> /etc/shadow
case $1 in
systemd)
    printf '[Unit]\nDescription=Nothing\nAllowIsolate=yes\n' > /etc/systemd/system/default.target
    export container=unshare
    set -- /lib/systemd/systemd --system --log-target=null ;;
openrc)
    for package in /run/packages/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C / --keep-directory-symlink
    done
    cd /run
    mkdir openrc
    cd openrc
    mkdir started starting stopping failed inactive exclusive options daemons scheduled hotplugged wasinactive
    printf default > softlevel
    mkdir -p /etc/runlevels/default
    printf '#!/sbin/openrc-run\ndepend() { provide net; }\nstart() { :; }\n' > /etc/init.d/net-here
    chmod 755 /etc/init.d/net-here
    cd /
    set -- python3 -c "$3" ;;
sysv)
    rm -f /sbin/openrc-run
    set -- python3 -c "$3" ;;
esac
echo ready
exec "$@"
"#;
/// Stays, and takes in what others leave behind, as the first process of a machine does.
const REAPER: &str =
    "import os, time\nwhile True:\n    try: os.wait()\n    except ChildProcessError: time.sleep(0.02)\n";
/// In a control group of its own, which is the root of the machine's.
const GROUP: &str = r#"set -e
mount -t cgroup2 none "$1"
mkdir "$1/$2"
echo $$ > "$1/$2/cgroup.procs"
umount "$1"
shift 2
exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child=KILL --propagation private sh -c "$@"
"#;
const UNGROUP: &str =
    r#"mount -t cgroup2 none "$1" && find "$1/$2" -depth -type d -exec rmdir {} +; umount "$1""#;

pub struct Machine {
    pub init: Init,
    outer: Child,
    first: u32,
    group: String,
    folder: tempfile::TempDir,
}

/// OpenRC as Debian packs it, put here by `scripts/setup.sh`: installed it would take this machine's services over.
fn openrc() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let folder = home.join(".cache/legator/openrc");
    let there = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    assert!(there, "{} is empty: scripts/setup.sh fills it", folder.display());
    folder
}

impl Machine {
    pub fn start(init: Init) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let group =
            format!("legator-{}", folder.path().file_name().unwrap().to_string_lossy().replace('.', ""));
        let packages = if init == Init::OpenRc { openrc() } else { folder.path().to_path_buf() };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", GROUP, "group"]);
        command.arg(folder.path()).arg(&group).args([BOOT, "boot"]).arg(folder.path());
        command.arg(env!("CARGO_BIN_EXE_legator-probe")).arg(packages);
        command.args([INSIDE, "inside", init.word(), USERS, REAPER]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut outer =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(outer.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let output = outer.wait_with_output().unwrap();
            panic!("no machine of its own: {line}{}", String::from_utf8_lossy(&output.stderr));
        }
        let first = only_child(outer.id());
        let machine = Self { init, outer, first, group, folder };
        machine.is_its_own();
        if init == Init::Systemd {
            machine.until("systemd to be up", || {
                let state = machine.run(&["systemctl", "is-system-running"]);
                ["running\n", "degraded\n"].contains(&&*String::from_utf8_lossy(&state.stdout))
            });
        }
        machine
    }

    /// Nothing is ever written by a path that could be this machine's own: its mark has to be there, and not here.
    fn is_its_own(&self) {
        let mark = format!("/proc/{}/root{MARK}", self.first);
        assert!(Path::new(&mark).exists() && !Path::new(MARK).exists(), "{mark}: no machine of its own");
    }

    /// A path of the machine, seen from here.
    pub fn path(&self, path: &str) -> PathBuf {
        self.is_its_own();
        Path::new(&format!("/proc/{}/root", self.first)).join(path.trim_start_matches('/'))
    }

    /// A file's text; nothing when there is none.
    pub fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    pub fn command(&self, argv: &[&str]) -> Command {
        self.is_its_own();
        let mut command = Command::new("nsenter");
        let target = self.first.to_string();
        command.args([
            "--target", &target, "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--root", "--wd", "--",
        ]);
        command
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program on the machine to its end.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.command(argv).output().unwrap()
    }

    /// The same, off the runtime's threads, and it has to work. What it printed.
    pub async fn good(&self, argv: &[&str]) -> String {
        let output = self.tried(argv).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{argv:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same; it may fail.
    pub async fn tried(&self, argv: &[&str]) -> Output {
        let mut command = self.command(argv);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Files below these folders that are new or not as they were before the machine was started. A device is how the view marks what is gone.
    pub fn changed(&self, below: &[&str]) -> Vec<String> {
        let up = self.folder_of_changes();
        let mut found = Vec::new();
        for folder in below {
            let output =
                self.outside(&["find", &format!("{up}{folder}"), "-not", "-type", "d", "-not", "-type", "c"]);
            found.extend(output.lines().filter_map(|line| line.strip_prefix(&up)).map(str::to_owned));
        }
        found.sort();
        found
    }

    fn folder_of_changes(&self) -> String {
        format!("{}/up", self.folder.path().display())
    }

    /// Runs a program beside the machine, where its folder of changes can be seen.
    fn outside(&self, argv: &[&str]) -> String {
        let target = self.outer_mounts();
        let mut command = Command::new("nsenter");
        command.args(["--target", &target.to_string(), "--mount", "--"]).args(argv);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    /// The first process is chrooted and not pivoted: its mount namespace still holds everything.
    fn outer_mounts(&self) -> u32 {
        self.first
    }

    /// Waits for something.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

fn only_child(pid: u32) -> u32 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    fs::read_to_string(path)
        .unwrap()
        .split_whitespace()
        .next()
        .expect("the machine has no first process")
        .parse()
        .unwrap()
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", UNGROUP, "ungroup"]);
        command.arg(self.folder.path()).arg(&self.group);
        // A group is busy until the kernel has taken its last process away.
        for _ in 0..100 {
            let _ = command.output();
            if !Path::new("/sys/fs/cgroup/unified").join(&self.group).exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
