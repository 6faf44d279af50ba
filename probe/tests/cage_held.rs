//! What the cage holds back beyond the corpus: secrets, changes outside their paths, sockets, exhaustion; and its cost.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stderr)]

#[path = "cage/user.rs"]
mod user;

use legator_core::level::Effects;
use legator_probe::cage::{Cage, CageError, Confine, Exit, Limits, Order, Secrets};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn order(confine: Confine, state: &Path, script: &str) -> Order {
    Order {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: None,
        confine,
        timeout: Duration::from_secs(60),
        secrets: Arc::new(Secrets::new(state, &[]).unwrap()),
        limits: Limits::default(),
    }
}

async fn text(order: Order) -> (Exit, String, String) {
    let cage = Cage::with_helper(user::helper());
    let (exit, out, err) = cage.capture(order).await.unwrap();
    (exit, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("legator-held-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::write(dir.path().join("state/probe.key"), "CANARY").unwrap();
    dir
}

fn change(write: &[&Path]) -> Confine {
    let write = write.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    Confine::Change(Effects { write, ..Effects::none() })
}

const OUTSIDE: [Confine; 2] = [Confine::Observe, Confine::Diagnose];

#[tokio::test]
async fn secrets_cannot_be_read_by_any_name() {
    let dir = folder();
    let (root, state) = (dir.path().display(), dir.path().join("state"));
    symlink(state.join("probe.key"), dir.path().join("link")).unwrap();
    let victim = std::process::Command::new("sleep").arg("600").current_dir(dir.path()).spawn();
    let mut victim = victim.unwrap();
    let pid = victim.id();
    let mut ways = vec![
        format!("cat {root}/state/probe.key"),
        format!("cat {root}/link"),
        format!("ls {root}/state | grep probe"),
        format!("cat /proc/{pid}/root{root}/state/probe.key"),
        format!("cat /proc/{pid}/cwd/state/probe.key"),
        format!("cat /proc/1/root{root}/state/probe.key"),
        format!("tar -cf - {root}/state | grep -a CANARY"),
        format!("umount {root}/state 2>/dev/null; cat {root}/state/probe.key"),
        format!("unshare -rm cat {root}/state/probe.key"),
        format!("find {root} -type f | xargs cat | grep CANARY"),
    ];
    let root_only = [
        "cat /etc/shadow /etc/gshadow /etc/shadow-",
        "cat /etc/ssh/ssh_host_*_key",
        "head -c 64 /proc/kcore",
        "cat /proc/1/environ",
    ];
    ways.extend(root_only.map(str::to_owned));
    let handle = format!(
        "python3 -c \"import ctypes,os\nc=ctypes.CDLL(None)\nh=ctypes.create_string_buffer(136)\nh[0]=b'\\x80'\ni=ctypes.c_int()\n\
         c.name_to_handle_at(-100,b'{root}/link',h,ctypes.byref(i),0x400)\nfd=c.open_by_handle_at(os.open('/',0),h,0)\nprint(os.read(fd,64))\""
    );
    ways.push(handle);
    let mut count = 0;
    for confine in OUTSIDE {
        for way in &ways {
            let (_, out, _) = text(order(confine.clone(), &state, way)).await;
            assert!(
                !out.contains("CANARY") && !out.contains("root:") && !out.contains("PRIVATE"),
                "{way}: {out}"
            );
            assert!(out.trim().is_empty(), "{way}: {out}");
            count += 1;
        }
    }
    // A change that may write everywhere still does not get the probe's own key.
    if rustix::process::geteuid().is_root() {
        let (_, out, _) =
            text(order(change(&[dir.path()]), &state, &format!("cat {root}/state/probe.key"))).await;
        assert_eq!(out, "");
    }
    // The twin: what is no secret is read.
    fs::write(dir.path().join("plain"), "PLAIN").unwrap();
    let (_, out, _) = text(order(Confine::Observe, &state, &format!("cat {root}/plain"))).await;
    assert_eq!(out, "PLAIN");
    victim.kill().unwrap();
    victim.wait().unwrap();
    eprintln!("secrets: {count} ways tried, 0 led to one");
}

#[test]
fn secrets_cannot_be_read_as_an_ordinary_user_either() {
    if !user::became_ordinary("secrets_cannot_be_read_by_any_name") {
        panic!("this test needs root to become an ordinary user");
    }
}

#[tokio::test]
async fn a_secret_is_hidden_under_the_other_names_that_a_mount_gives_it() {
    user::need_root();
    let dir = folder();
    let (root, state) = (dir.path(), dir.path().join("state"));
    fs::create_dir(root.join("elsewhere")).unwrap();
    rustix::mount::mount_bind(root.join("state"), root.join("elsewhere")).unwrap();
    let script = format!("cat {0}/elsewhere/probe.key {0}/state/probe.key", root.display());
    let (_, out, _) = text(order(Confine::Observe, &state, &script)).await;
    rustix::mount::unmount(root.join("elsewhere"), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(out, "");
}

#[tokio::test]
async fn a_secret_is_hidden_under_a_hard_link_and_other_files_are_read_meanwhile() {
    let dir = folder();
    let (root, state) = (dir.path(), dir.path().join("state"));
    fs::create_dir(root.join("far")).unwrap();
    fs::hard_link(state.join("probe.key"), root.join("far/second")).unwrap();
    fs::write(root.join("plain"), "PLAIN").unwrap();
    let script = format!("cat {0}/far/second {0}/plain; find {0} -type f | xargs cat", root.display());
    for _ in 0..2 {
        let (_, out, _) = text(order(Confine::Observe, &state, &script)).await;
        assert!(out.contains("PLAIN") && !out.contains("CANARY"), "{out}");
    }
}

/// A home of a user is found through `/home`; the link in it names what is not that user's.
#[tokio::test]
async fn a_link_in_a_home_hides_only_what_is_that_users() {
    user::need_root();
    let dir = folder();
    let home = tempfile::Builder::new().prefix("legator-home-").tempdir_in("/home").unwrap();
    fs::create_dir_all(home.path().join(".kube")).unwrap();
    fs::create_dir_all(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/id_x"), "CANARY").unwrap();
    symlink("/usr/bin", home.path().join(".kube/config")).unwrap();
    for path in ["", ".kube", ".ssh", ".ssh/id_x"] {
        std::os::unix::fs::chown(home.path().join(path), Some(65_534), Some(65_534)).unwrap();
    }
    let script = format!("cat {}/.ssh/id_x; /usr/bin/echo works", home.path().display());
    let (_, out, err) = text(order(Confine::Observe, &dir.path().join("state"), &script)).await;
    assert_eq!(out, "works\n", "{err}");
}

#[tokio::test]
async fn a_change_writes_where_it_was_approved_and_nowhere_else() {
    let dir = folder();
    let (root, state) = (dir.path(), dir.path().join("state"));
    for name in ["open", "closed"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("file"), "old").unwrap();
    }
    fs::write(root.join("one"), "old").unwrap();
    let confine = change(&[&root.join("open"), &root.join("one")]);
    let script = format!(
        "cd {}; echo new > open/file; echo new > one; chmod 600 open/file; mkdir open/sub; mv open/file open/sub/; ln -s x open/l; \
         echo new > closed/file; chmod 600 closed/file; touch more; rm -rf closed; mount -o remount,rw / ; \
         mknod open/disk b 254 0; kill -9 1; echo x > /proc/sys/kernel/hostname; true",
        root.display()
    );
    let (exit, _, err) = text(order(confine, &state, &script)).await;
    assert_eq!(exit.code, Some(0), "{err}");
    assert_eq!(fs::read_to_string(root.join("open/sub/file")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(root.join("one")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(root.join("closed/file")).unwrap(), "old");
    assert!(
        !root.join("more").exists() && !root.join("open/disk").exists() && root.join("open/l").is_symlink()
    );
}

#[tokio::test]
async fn a_write_path_that_leads_elsewhere_or_nowhere_is_refused() {
    let dir = folder();
    let (root, state) = (dir.path(), dir.path().join("state"));
    symlink("/etc", root.join("link")).unwrap();
    let cage = Cage::with_helper(user::helper());
    for path in
        [root.join("link"), root.join("link/ssh"), root.join("none"), root.join("../x"), "relative".into()]
    {
        let error = cage.capture(order(change(&[&path]), &state, "true")).await.unwrap_err();
        assert!(matches!(error, CageError::Setup { .. }), "{}: {error}", path.display());
    }
}

#[tokio::test]
async fn the_network_is_open_where_it_was_asked_for_and_local_sockets_never() {
    let dir = folder();
    let (root, state) = (dir.path(), dir.path().join("state"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let local = UnixListener::bind(root.join("sock")).unwrap();
    fs::set_permissions(root.join("sock"), PermissionsExt::from_mode(0o777)).unwrap();
    local.set_nonblocking(true).unwrap();
    let tcp = format!("exec 3<>/dev/tcp/127.0.0.1/{}", listener.local_addr().unwrap().port());
    let unix =
        format!("import socket\ns=socket.socket(socket.AF_UNIX)\ns.connect('{}/sock')", root.display());
    let net = Confine::Change(Effects { net: true, ..Effects::none() });
    let table = [(Confine::Observe, false), (Confine::Diagnose, true), (change(&[]), false), (net, true)];
    for (confine, open) in table {
        let mut job = order(confine.clone(), &state, "");
        job.argv = ["bash", "-c", &tcp].map(str::to_owned).to_vec();
        let (exit, ..) = text(job.clone()).await;
        assert_eq!((exit.code == Some(0), listener.accept().is_ok()), (open, open), "{confine:?}");
        job.argv = ["python3", "-c", &unix].map(str::to_owned).to_vec();
        let (exit, ..) = text(job).await;
        assert!(exit.code != Some(0) && local.accept().is_err(), "{confine:?}");
    }
}

#[tokio::test]
async fn exhaustion_stays_inside() {
    let dir = folder();
    let state = dir.path().join("state");
    let bomb = "python3 -c \"import os,time\nn=0\nwhile True:\n  try:\n    p=os.fork()\n  except OSError: break\n  if p==0: time.sleep(60)\n  n+=1\nprint(n)\"";
    let mut job = order(Confine::Observe, &state, bomb);
    job.limits.processes = 64;
    let (_, out, err) = text(job).await;
    assert!(out.trim().parse::<u32>().unwrap() <= 64, "{out}{err}");
    let (exit, ..) = text(order(Confine::Observe, &state, "python3 -c \"x=bytearray(3<<30)\"")).await;
    assert_ne!(exit.code, Some(0), "3 GiB");
    let (exit, ..) = text(order(Confine::Observe, &state, "head -c 200000000 /dev/zero > /tmp/full")).await;
    assert_ne!(exit.code, Some(0), "a full /tmp");
    let mut job = order(Confine::Observe, &state, "while :; do :; done");
    job.limits.cpu_seconds = 1;
    assert_eq!(text(job).await.0.signal, Some(9), "CPU time");
}

#[tokio::test]
async fn reads_share_a_control_group_where_there_is_one() {
    user::need_root();
    let dir = folder();
    let script = "cat /proc/self/cgroup";
    let (_, out, _) = text(order(Confine::Observe, &dir.path().join("state"), script)).await;
    let there = ["/sys/fs/cgroup/legator-cage", "/sys/fs/cgroup/pids/legator-cage"]
        .iter()
        .any(|path| Path::new(path).exists());
    assert_eq!(out.contains("legator-cage"), there, "{out}");
    eprintln!(
        "a control group for reads: {}",
        if there { "yes" } else { "this machine has none that can be written" }
    );
}

#[tokio::test]
async fn what_a_caged_true_costs() {
    let dir = folder();
    let state = dir.path().join("state");
    let cage = Cage::with_helper(user::helper());
    let mut job = order(Confine::Observe, &state, "");
    job.argv = vec!["/bin/true".to_owned()];
    cage.capture(job.clone()).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        assert_eq!(cage.capture(job.clone()).await.unwrap().0.code, Some(0));
        times.push(began.elapsed());
    }
    times.sort();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    eprintln!(
        "a caged true ({build} build): p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}
