//! What a confined thread cannot do any more: tried on the kernel, each in a thread of its own,
//! since nothing of this can be taken back.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::*;

/// Runs `act` in a thread that ends with what it gave up.
fn aside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(act).join().expect("the thread tells what it found")
}

fn applied(standing: &Standing) -> bool {
    matches!(standing, Standing::Applied(_))
}

#[test]
fn a_confined_thread_starts_no_program_and_makes_no_process_but_threads() {
    let (program, waited, threads) = aside(|| {
        assert!(applied(&calls::restrict()));
        let program = Command::new("/bin/true").spawn().map(|_| ());
        let waited = rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty(),
        );
        let threads = thread::spawn(|| 7).join();
        (program.map_err(|error| error.kind()), waited.is_ok(), threads.ok())
    });
    assert_eq!(program, Err(ErrorKind::PermissionDenied));
    assert!(waited, "a process can be waited for");
    assert_eq!(threads, Some(7));
}

#[test]
fn a_confined_thread_serves() {
    let answered = aside(|| {
        assert!(applied(&calls::restrict()));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.shutdown(std::net::Shutdown::Both)?;
        // The C library's resolver opens sockets and files of its own.
        let found = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 1))?.count();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            tokio::task::spawn_blocking(|| fs::read_to_string("/proc/self/stat").map(drop)).await
        })??;
        Ok::<_, io::Error>(found)
    });
    assert!(answered.is_ok_and(|found| found > 0));
}

#[test]
fn a_confined_thread_opens_no_sockets_but_of_networks_and_of_this_machine() {
    let kinds = aside(|| {
        assert!(applied(&calls::restrict()));
        let open = |domain: i32, kind: i32| {
            let opened = socket2::Socket::new(domain.into(), kind.into(), None);
            opened.map(drop).map_err(|error| error.raw_os_error())
        };
        [
            open(libc::AF_INET6, libc::SOCK_STREAM),
            open(libc::AF_UNIX, libc::SOCK_STREAM),
            open(libc::AF_PACKET, libc::SOCK_DGRAM),
            open(libc::AF_ALG, libc::SOCK_SEQPACKET),
        ]
    });
    let refused = Err(Some(libc::ENOSYS));
    assert_eq!(kinds, [Ok(()), Ok(()), refused, refused]);
}

#[test]
fn files_are_out_of_reach_but_those_that_serving_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = fs::canonicalize(folder.path()).expect("it is there").join("base");
    for name in ["certs.d", "logs", "other"] {
        fs::create_dir_all(base.join(name)).expect("a folder");
        fs::write(base.join(name).join("file"), "before").expect("a file");
    }
    let mut places = Places::of_system();
    // A folder of two levels would have its own permitted as well.
    places.read.insert(base.join("certs.d"));
    places.writes_file(&base.join("logs/access.log"));
    let standing = aside(move || {
        let standing = files::restrict(&places);
        if !applied(&standing) {
            return standing;
        }
        let denied = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
        };
        let read = |path: &Path| fs::read(path).map(drop);
        let write = |path: &Path| fs::write(path, "after");
        assert!(read(&base.join("certs.d/file")).is_ok());
        assert!(denied(write(&base.join("certs.d/file"))), "certificates are read only");
        assert!(denied(write(&base.join("certs.d/new"))), "nothing is made beside them");
        assert!(denied(fs::remove_file(base.join("certs.d/file"))));
        assert!(write(&base.join("logs/access.log")).is_ok());
        assert!(fs::rename(base.join("logs/access.log"), base.join("logs/access.log.1")).is_ok());
        assert!(write(&base.join("logs/access.log")).is_ok(), "logs are rotated");
        assert!(denied(read(&base.join("other/file"))));
        assert!(denied(write(Path::new("/etc/portunus-was-here"))));
        assert!(read(Path::new("/etc/hosts")).is_ok());
        assert!(read(Path::new("/proc/self/stat")).is_ok());
        assert!(fs::read_dir("/proc/self/fd").is_ok());
        let program = Command::new("/bin/true").spawn().map(drop);
        assert!(denied(program), "nothing is executed either");
        standing
    });
    // Kernels without it are said to be so; those of the suite have it.
    if let Standing::Missing(reason) = standing {
        assert!(reason.contains("Landlock"), "{reason}");
    }
}

#[test]
fn users_are_found_by_name_and_by_number() {
    let root = Identity::find("root").expect("every machine has root");
    assert_eq!(root.to_string(), "root (0:0)");
    assert_eq!(Identity::find("0").expect("by number").to_string(), "0 (0:0)");
    let stranger = Identity::find("65532:65532").expect("numbers need nobody");
    assert_eq!(stranger.to_string(), "65532:65532");
    assert!(!stranger.is_root() && root.is_root());
    for (written, said) in [
        ("nobody-by-this-name", "there is no user `nobody-by-this-name`"),
        ("root:no-such-group", "there is no group `no-such-group`"),
        ("4000000000", "the group of user 4000000000 is not known"),
        ("", "there is no user ``"),
        ("4294967295:0", "there is no user `4294967295`"),
    ] {
        let error = Identity::find(written).expect_err(written);
        assert_eq!(error.to_string(), said);
        assert!(error.hint().is_some());
    }
}

#[test]
fn what_is_written_is_made_beforehand_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let sessions = folder.path().join("of/all/sessions");
    let log = folder.path().join("access.log");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
    for _ in 0..2 {
        make_folder(&sessions, None).expect("it can be made");
        make_file(&log, None).expect("it can be made");
        fs::write(&log, "kept").expect("it is ours");
    }
    assert_eq!(mode(&sessions) & 0o777, 0o700);
    assert_eq!(mode(&log) & 0o007, 0);
    assert_eq!(fs::read_to_string(&log).expect("it is ours"), "kept");
    let mut places = Places::default();
    places.writes_folder(&sessions);
    let real = fs::canonicalize(&sessions).expect("it is there");
    assert_eq!(places.writable(), [real.as_path()], "and nothing above it");
}

#[test]
fn what_a_user_cannot_read_is_seen_beforehand() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(folder.path(), 0o755).expect("it is ours");
    let base = fs::canonicalize(folder.path()).expect("it is there");
    let key = base.join("key.pem");
    fs::write(&key, "").expect("a file");
    let stranger = Identity::find("65532:65532").expect("numbers need nobody");
    open(&key, 0o644).expect("it is ours");
    assert_eq!(stranger.barrier(&key, Wish::Read), None);
    assert_eq!(stranger.barrier(&key, Wish::Write), Some(key.clone()));
    open(&key, 0o600).expect("it is ours");
    assert_eq!(stranger.barrier(&key, Wish::Read), Some(key.clone()));
    open(&key, 0o644).expect("it is ours");
    open(&base, 0o700).expect("it is ours");
    assert_eq!(stranger.barrier(&key, Wish::Read), Some(base.clone()));
    assert_eq!(Identity::of_process().barrier(&key, Wish::Write), None);
    assert_eq!(stranger.barrier(&base.join("not-there"), Wish::Read), None);
}

#[test]
fn a_kernel_without_landlock_is_told_of_and_is_not_enough_where_a_sandbox_is_required() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

    let standing = aside(|| {
        let arch = TargetArch::try_from(std::env::consts::ARCH).expect("one of ours");
        let old = [libc::SYS_landlock_create_ruleset].map(|call| (call, Vec::new())).into();
        let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let filter =
            SeccompFilter::new(old, SeccompAction::Allow, unknown, arch).expect("it is good");
        let program = BpfProgram::try_from(filter).expect("it is short");
        apply_filter(&program).expect("the kernel takes it");
        files::restrict(&Places::of_system())
    });
    let Standing::Missing(reason) = &standing else { panic!("{standing:?}") };
    assert!(reason.contains("this kernel has no Landlock"), "{reason}");
    for (sandbox, is_enough) in [(Sandbox::Auto, true), (Sandbox::Require, false)] {
        let mut report = Report::new(sandbox);
        report.add(Measure::User, Standing::Off("root".to_owned()));
        report.add(Measure::Files, standing.clone());
        let judged = judge(report).map(drop).map_err(|error| error.to_string());
        assert_eq!(judged.is_ok(), is_enough, "{judged:?}");
        assert!(judged.err().is_none_or(|said| said.contains("requires that files")));
    }
}
